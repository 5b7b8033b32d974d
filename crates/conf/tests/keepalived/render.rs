//! Findings as text and as JSON.

use crate::common::keepalived;

const TEXT: &str = "virtual_server 10.0.0.1 80 {\n\tlb_algo wrx\n real_server 10.0.1.1 80 {\n }\nprotocol TCP\n}\n";

#[test]
fn text_shows_file_line_and_column_and_the_way_out() {
    let loaded = keepalived(TEXT);
    let text = conf::render::text(&loaded.files, &loaded.diagnostics, false);
    assert!(text.contains("error: unknown lb_algo \"wrx\""), "{text}");
    assert!(text.contains("k.conf:2:10"), "{text}");
    assert!(text.contains("did you mean \"wrr\"?"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    let coloured = conf::render::text(&loaded.files, &loaded.diagnostics, true);
    assert!(coloured.contains('\u{1b}'));
}

#[test]
fn json_has_every_place() {
    let loaded = keepalived(&TEXT.replace("lb_algo wrx", "lb_algo rr\n lb_algo wrr"));
    let json: serde_json::Value =
        serde_json::from_str(&conf::render::json(&loaded.files, &loaded.diagnostics)).unwrap();
    let finding = &json[0];
    assert_eq!(finding["file"], "k.conf");
    assert_eq!((&finding["line"], &finding["column"]), (&3.into(), &2.into()));
    assert_eq!((&finding["end_line"], &finding["end_column"]), (&3.into(), &9.into()));
    assert_eq!(finding["severity"], "warning");
    assert_eq!(finding["related"][0]["line"], 2);
}

#[test]
fn the_reference_has_every_keyword() {
    let text = conf::reference_markdown();
    for row in conf::rows() {
        assert!(text.contains(&format!("`{}`", row.name)), "{}", row.name);
        let is_refused = row.status != conf::Status::Supported;
        assert!(is_refused || !row.doc.is_empty(), "{} has no doc", row.name);
    }
}
