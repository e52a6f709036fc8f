//! More of Pillion in a real cluster than each change is tried with: `make e2e-all`.

mod bad_days;
mod cookbook;
mod figures;
mod releases;
