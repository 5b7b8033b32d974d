//! rustfmt and clippy are run by `make lint`; here they are shown to stop planted breaches under
//! the settings of this workspace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A crate of one file, outside of the workspace, with the workspace's lint settings.
struct Planted {
    directory: PathBuf,
}

impl Planted {
    fn new(name: &str, source: &str) -> Planted {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let workspace =
            fs::read_to_string(root.join("Cargo.toml")).expect("the workspace manifest");
        let lints: String = workspace
            .split_inclusive("\n[")
            .filter(|section| section.starts_with("workspace.lints"))
            .map(|section| format!("[{}\n", section.trim_end_matches('[')))
            .collect();
        assert!(lints.contains("clippy"), "the workspace has lint settings");
        let manifest = format!(
            "[package]\nname = \"planted\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[lints]\nworkspace = true\n\n[workspace]\n\n{lints}"
        );
        fs::create_dir_all(directory.join("src")).expect("a directory");
        fs::write(directory.join("Cargo.toml"), manifest).expect("a manifest");
        fs::copy(root.join("rustfmt.toml"), directory.join("rustfmt.toml")).expect("rustfmt.toml");
        fs::write(directory.join("src/main.rs"), source).expect("a source");
        Planted { directory }
    }

    fn cargo(&self, arguments: &[&str]) -> Output {
        Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
            .args(arguments)
            .current_dir(&self.directory)
            .env("CARGO_TARGET_DIR", self.directory.join("target"))
            .output()
            .expect("cargo runs")
    }
}

#[test]
fn rustfmt_finds_a_planted_breach() {
    let good = Planted::new("fmt-good", "//! Good.\n\nfn main() {}\n");
    assert!(good.cargo(&["fmt", "--check"]).status.success());
    let bad = Planted::new("fmt-bad", "//! Bad.\n\nfn  main( ) { }\n");
    assert!(!bad.cargo(&["fmt", "--check"]).status.success());
}

#[test]
fn clippy_finds_planted_breaches() {
    let arguments = ["clippy", "--offline", "--all-targets", "--", "-D", "warnings"];
    let good = Planted::new("clippy-good", "//! Good.\n\nfn main() {}\n");
    let output = good.cargo(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let unexplained = "//! Bad.\n\nfn main() {\n    let one = 1u8;\n    let same = unsafe { *(&raw const one) };\n    assert_eq!(one, same);\n}\n";
    let bad = Planted::new("clippy-bad", unexplained);
    let output = bad.cargo(&arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("undocumented_unsafe_blocks"), "{said}");
}
