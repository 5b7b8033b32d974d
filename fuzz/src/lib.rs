//! What the fuzz targets do with bytes. Ordinary tests of the crates include these files to replay
//! the corpus with a stable toolchain (`crates/*/tests/corpus.rs`).

pub mod adverts;
pub mod checks;
pub mod languages;
pub mod sessions;
