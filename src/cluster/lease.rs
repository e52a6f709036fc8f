//! One replica at a time may write: who holds the Lease.
