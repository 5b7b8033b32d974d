//! The examples of the documentation load.

use std::fs;
use std::path::Path;
use std::process::Command;

/// The fenced blocks of one language in a Markdown text.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    text.split(&fence)
        .skip(1)
        .filter_map(|rest| rest.split_once("\n```"))
        .map(|(block, _)| format!("{block}\n"))
        .collect()
}

#[test]
fn every_configuration_in_the_how_tos_loads_on_both_machines() {
    let how_to = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/how-to");
    let directory = std::env::temp_dir().join(format!("ek-docs-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let mut checked = 0;
    for page in fs::read_dir(how_to).unwrap() {
        let page = page.unwrap().path();
        let text = fs::read_to_string(&page).unwrap();
        for (number, block) in blocks(&text, "keepalived").iter().enumerate() {
            let stem = page.file_stem().unwrap().to_str().unwrap();
            let file = directory.join(format!("{stem}-{number}.conf"));
            fs::write(&file, block).unwrap();
            for machine in ["lb1", "lb2"] {
                let output = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
                    .args(["check", "--config-id", machine])
                    .arg(&file)
                    .output()
                    .unwrap();
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            }
            checked += 1;
        }
    }
    fs::remove_dir_all(&directory).unwrap();
    assert!(checked >= 5, "{checked} examples");
}
