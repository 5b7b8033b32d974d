//! What cargo says of the workspace.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

/// One package, ours or not.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) licence: Option<String>,
    pub(crate) manifest: PathBuf,
    /// It is a member of the workspace.
    pub(crate) ours: bool,
    /// Names of what it imports in programs and build scripts.
    pub(crate) dependencies: BTreeSet<String>,
    /// Names of what only its tests import.
    pub(crate) test_dependencies: BTreeSet<String>,
}

/// Every package that takes part in a build.
#[derive(Clone, Debug)]
pub(crate) struct House {
    pub(crate) packages: Vec<Package>,
}

impl House {
    /// Asks cargo, without the network.
    pub(crate) fn read() -> House {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--locked", "--offline"])
            .args(["--filter-platform", &host()])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        House::parse(&serde_json::from_slice(&output.stdout).expect("cargo prints JSON"))
    }

    fn parse(metadata: &Value) -> House {
        let members: BTreeSet<&str> =
            list(&metadata["workspace_members"]).filter_map(Value::as_str).collect();
        // The resolved graph: what is really built, not what manifests could ask for.
        let nodes: BTreeMap<&str, &Value> = list(&metadata["resolve"]["nodes"])
            .filter_map(|node| Some((node["id"].as_str()?, node)))
            .collect();
        let names: BTreeMap<&str, &str> = list(&metadata["packages"])
            .filter_map(|package| Some((package["id"].as_str()?, package["name"].as_str()?)))
            .collect();
        let packages = list(&metadata["packages"])
            .filter(|package| package["id"].as_str().is_some_and(|id| nodes.contains_key(id)))
            .map(|package| {
                let id = text(&package["id"]);
                let mut dependencies = BTreeSet::new();
                let mut test_dependencies = BTreeSet::new();
                for dependency in list(&nodes[id.as_str()]["deps"]) {
                    let name = names[dependency["pkg"].as_str().expect("a package id")].to_owned();
                    let only_tests =
                        list(&dependency["dep_kinds"]).all(|kind| kind["kind"] == "dev");
                    if only_tests {
                        test_dependencies.insert(name);
                    } else {
                        dependencies.insert(name);
                    }
                }
                Package {
                    name: text(&package["name"]),
                    version: text(&package["version"]),
                    licence: package["license"].as_str().map(str::to_owned),
                    manifest: PathBuf::from(text(&package["manifest_path"])),
                    ours: members.contains(id.as_str()),
                    dependencies,
                    test_dependencies,
                }
            })
            .collect();
        House { packages }
    }

    /// Our own crates.
    pub(crate) fn ours(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.ours)
    }

    /// One of our crates, to plant a breach in.
    pub(crate) fn ours_mut(&mut self, name: &str) -> &mut Package {
        self.packages
            .iter_mut()
            .find(|package| package.ours && package.name == name)
            .expect("a crate of ours")
    }
}

/// The platform this is built for: crates of other platforms need not be here.
fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().expect("rustc runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.expect("rustc names its host").to_owned()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}
