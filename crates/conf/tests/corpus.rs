//! The corpus of the fuzz targets, replayed.

#[path = "../../../fuzz/src/languages.rs"]
#[allow(unreachable_pub, reason = "public for the fuzz targets")]
mod languages;

use std::fs;
use std::path::Path;

/// Gives every file of a target's corpus to the target.
fn replay(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&corpus).expect("a corpus") {
        run(&fs::read(entry.expect("an entry").path()).expect("a file"));
        count += 1;
    }
    assert!(count > 0, "{} is empty", corpus.display());
}

#[test]
fn no_keepalived_conf_of_the_corpus_is_a_finding() {
    replay("keepalived_conf", languages::keepalived_conf);
}

#[test]
fn no_haproxy_conf_of_the_corpus_is_a_finding() {
    replay("haproxy_conf", languages::haproxy_conf);
}
