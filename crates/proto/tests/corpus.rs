//! The corpus of the fuzz targets, replayed.

#[path = "../../../fuzz/src/adverts.rs"]
#[allow(unreachable_pub, reason = "public for the fuzz targets")]
mod adverts;
#[path = "../../../fuzz/src/checks.rs"]
#[allow(unreachable_pub, reason = "public for the fuzz targets")]
mod checks;
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

#[test]
fn no_answer_to_a_check_of_the_corpus_is_a_finding() {
    replay("http_reply", checks::http_reply);
    replay("smtp_reply", checks::smtp_reply);
    replay("dns_answer", checks::dns_answer);
}

/// Mutations of the corpus, the same ones each time: what `make fuzz` does at length.
#[test]
fn no_damaged_answer_to_a_check_is_a_finding() {
    type Target = (&'static str, fn(&[u8]));
    let targets: [Target; 3] = [
        ("http_reply", checks::http_reply),
        ("smtp_reply", checks::smtp_reply),
        ("dns_answer", checks::dns_answer),
    ];
    for (target, run) in targets {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        for entry in fs::read_dir(&corpus).expect("a corpus") {
            let bytes = fs::read(entry.expect("an entry").path()).expect("a file");
            let mut random = 1u64;
            for _ in 0..200 {
                let mut damaged = bytes.clone();
                for _ in 0..3 {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let at = (random >> 33) as usize % damaged.len();
                    damaged[at] = (random >> 24) as u8;
                }
                damaged.truncate(1 + (random >> 40) as usize % damaged.len());
                run(&damaged);
            }
        }
    }
}
