//! The corpus of the fuzz targets, replayed.

#[path = "../../../fuzz/src/adverts.rs"]
#[allow(unreachable_pub, reason = "public for the fuzz targets")]
mod adverts;
#[path = "../../../fuzz/src/sessions.rs"]
#[allow(unreachable_pub, reason = "public for the fuzz targets")]
mod sessions;

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
fn no_advert_of_the_corpus_is_a_finding() {
    replay("advert_v2", adverts::advert_v2);
    replay("advert_v3", adverts::advert_v3);
    replay("advert_ah", adverts::advert_ah);
    replay("advert_hmac", adverts::advert_hmac);
}

#[test]
fn no_bfd_packet_of_the_corpus_is_a_finding() {
    replay("bfd", sessions::bfd);
}
