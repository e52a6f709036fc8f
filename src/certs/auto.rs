//! A certificate authority of our own, kept in a Secret that all replicas share.
