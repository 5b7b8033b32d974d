//! keepalived.conf from text to Plan: the documents' configurations, broken ones, and bytes that
//! are no configuration at all.

mod across;
mod checkers;
mod common;
mod conduct;
mod documents;
mod families;
mod global;
mod holdings;
mod instances;
mod language;
mod marks;
mod render;
mod robustness;
mod servers;
mod structure;
mod trackers;
mod values;
