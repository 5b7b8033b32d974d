//! From the command line's files to a Plan.

use std::fs;

use conf::{Diagnostic, Language, Summary};
use model::Plan;
use model::layer4::Layer4Plan;
use model::plan::Global;
use model::units::Priority;
use model::vrrp::{InitialState, Track, Tracked, VrrpPlan};
use serde_json::Value;

use crate::cli::FileArgs;
use crate::machine::Machine;
use crate::scripts::{self, Finding};

/// How much lower the second director's priorities are.
const STANDBY_OFFSET: i16 = -10;

/// The files of one run, and what the command line changes about them.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    paths: Vec<(String, Option<Language>)>,
    machine: Machine,
    standby: bool,
    priority_offset: i16,
    only: Only,
    without_bfd: bool,
    namespace: Option<String>,
    umask: Option<u32>,
}

/// Which part of a configuration is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Only {
    /// All of it.
    #[default]
    Everything,
    /// VRRP alone.
    Vrrp,
    /// Checkers and layer-4 balancing alone.
    Layer4,
}

/// The outcome of reading the files.
pub(crate) struct Loaded {
    /// Absent when there are errors.
    pub(crate) plan: Option<Plan>,
    /// Everything found.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// What the files define.
    pub(crate) summary: Summary,
    /// What is to be said about programs of the configuration.
    pub(crate) findings: Vec<Finding>,
    texts: conf::Files,
}

impl Loaded {
    /// The findings as text for people.
    pub(crate) fn render(&self, colours: bool) -> String {
        let mut text = conf::render::text(&self.texts, &self.diagnostics, colours);
        for finding in &self.findings {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&format!("warning: {}\n", finding.text));
        }
        text
    }

    /// The findings as a JSON array.
    pub(crate) fn render_json(&self) -> String {
        let json = conf::render::json(&self.texts, &self.diagnostics);
        let findings = self
            .findings
            .iter()
            .map(|finding| serde_json::json!({ "severity": "warning", "message": finding.text }));
        match serde_json::from_str(&json) {
            Ok(Value::Array(mut all)) if !self.findings.is_empty() => {
                all.extend(findings);
                Value::Array(all).to_string()
            }
            Ok(_) | Err(_) => json,
        }
    }
}

impl Loaded {
    /// Path and text of every file that was read.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(_, file)| (file.path.as_str(), file.text.as_str()))
    }
}

impl Files {
    /// The files named on the command line, or those of the usual places.
    pub(crate) fn from_args(args: &FileArgs) -> Result<Files, String> {
        let mut paths: Vec<(String, Option<Language>)> =
            args.positional.iter().chain(&args.files).map(|path| (path.clone(), None)).collect();
        paths.extend(args.keepalived.iter().map(|path| (path.clone(), Some(Language::Keepalived))));
        paths.extend(args.haproxy.iter().map(|path| (path.clone(), Some(Language::Haproxy))));
        if paths.is_empty() {
            paths = usual_places();
        }
        if paths.is_empty() {
            return Err("no configuration: name a file with -f, or write /etc/evenkeel/*.conf, \
                        /etc/keepalived/keepalived.conf or /etc/haproxy/haproxy.cfg"
                .into());
        }
        Ok(Files::of(paths).identified(args.config_id.clone()))
    }

    /// These files, as they are.
    pub(crate) fn of(paths: Vec<(String, Option<Language>)>) -> Files {
        Files {
            paths,
            machine: Machine::default(),
            standby: false,
            priority_offset: 0,
            only: Only::Everything,
            without_bfd: false,
            namespace: None,
            umask: None,
        }
    }

    /// With this configuration id instead of the host name.
    pub(crate) fn identified(mut self, config_id: Option<String>) -> Files {
        self.machine.config_id = config_id;
        self
    }

    /// A file that an include does not find is an error.
    pub(crate) fn with_every_file(mut self, must_exist: bool) -> Files {
        self.machine.must_find_includes = must_exist;
        self
    }

    /// Runs a part of the configuration only.
    pub(crate) fn with_only(mut self, only: Only) -> Files {
        self.only = only;
        self
    }

    /// Runs in this network namespace, whatever the configuration says.
    pub(crate) fn in_namespace(mut self, name: &str) -> Files {
        self.namespace = Some(name.to_owned());
        self
    }

    /// The file mode mask of the command line, which wins over `umask`.
    pub(crate) fn with_umask(mut self, umask: Option<u32>) -> Files {
        self.umask = umask;
        self
    }

    /// Runs no BFD session; instances that follow one do without.
    pub(crate) fn without_bfd(mut self) -> Files {
        self.without_bfd = true;
        self
    }

    /// The command line's changes to VRRP.
    pub(crate) fn with_vrrp(mut self, standby: bool, priority_offset: i16) -> Files {
        self.standby = standby;
        self.priority_offset = priority_offset;
        self
    }

    /// As the user named them.
    pub(crate) fn names(&self) -> Vec<String> {
        self.paths.iter().map(|(path, _)| path.clone()).collect()
    }

    fn adjust(&self, plan: &mut Plan) {
        match self.only {
            Only::Everything => {}
            Only::Vrrp => plan.layer4 = Layer4Plan::default(),
            Only::Layer4 => plan.vrrp = VrrpPlan::default(),
        }
        if self.namespace.is_some() {
            let global = &mut plan.global;
            // Files that have no path of their own move with it.
            let default = |global: &Global| Some(global.run_file("keepalived", "reload"));
            let beside = global.reload_file == default(global);
            global.network_namespace.clone_from(&self.namespace);
            global.pid_directory = true;
            if beside {
                global.reload_file = default(global);
            }
        }
        plan.global.umask = self.umask.or(plan.global.umask);
        if self.without_bfd {
            let is_bfd = |track: &Track| matches!(track.what, Tracked::Bfd(_));
            plan.vrrp.bfd.clear();
            plan.vrrp.instances.iter_mut().for_each(|one| one.tracks.retain(|t| !is_bfd(t)));
            plan.vrrp.sync_groups.iter_mut().for_each(|one| one.tracks.retain(|t| !is_bfd(t)));
        }
        let offset =
            self.priority_offset.saturating_add(if self.standby { STANDBY_OFFSET } else { 0 });
        for instance in &mut plan.vrrp.instances {
            if self.standby {
                instance.initial_state = InitialState::Backup;
            }
            if offset != 0 {
                let moved = i16::from(instance.priority.number()).saturating_add(offset);
                let within = u8::try_from(moved.clamp(1, 254)).unwrap_or(1);
                instance.priority = Priority::try_from(within).unwrap_or(instance.priority);
            }
        }
    }
}

fn usual_places() -> Vec<(String, Option<Language>)> {
    let mut own: Vec<String> = fs::read_dir("/etc/evenkeel")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.path().to_str().map(str::to_owned))
        .filter(|path| path.ends_with(".conf") || path.ends_with(".cfg"))
        .collect();
    own.sort();
    if !own.is_empty() {
        return own.into_iter().map(|path| (path, None)).collect();
    }
    [
        ("/etc/keepalived/keepalived.conf", Language::Keepalived),
        ("/etc/haproxy/haproxy.cfg", Language::Haproxy),
    ]
    .into_iter()
    .filter(|(path, _)| fs::exists(path).unwrap_or(false))
    .map(|(path, language)| (path.to_owned(), Some(language)))
    .collect()
}

/// Reads and checks the files, together.
pub(crate) fn load(files: &Files) -> Loaded {
    let parsed = conf::load(&files.machine, &files.paths);
    let mut findings = Vec::new();
    let plan = parsed.plan.map(|mut plan| {
        files.adjust(&mut plan);
        findings = scripts::vet(&mut plan);
        plan
    });
    let (diagnostics, mut summary) = (parsed.diagnostics, parsed.summary);
    summary.warnings += findings.len();
    Loaded { plan, diagnostics, summary, findings, texts: parsed.files }
}
