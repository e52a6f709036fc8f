//! More of Pillion in a real cluster than every change is tried with: `make e2e-all`.
