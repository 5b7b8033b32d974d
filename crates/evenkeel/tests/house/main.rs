//! The walls of the house: who may import whom, which third-party crates, under which licences,
//! in one major version each, and where `unsafe` and `std` are forbidden. Every wall is also
//! shown to stop a planted breach.

mod lints;
mod metadata;
mod walls;
