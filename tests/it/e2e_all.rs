//! More of Pillion in a real cluster than each change is tried with: `make e2e-all`.

mod bad_days;
mod cookbook;
mod disruption;
mod figures;
mod releases;
mod stuck;
