//! `evenkeel plan`: what a reload would change, and what it would drop.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use model::Plan;
use model::diff::{Area, Change, Verb, diff};

use crate::cli::PlanArgs;
use crate::control::{MISTAKEN, Request, Response, ask, socket_path};
use crate::load::{self, Files};

/// Exit code 0 when the files are good, whatever would change; 1 when they are not.
pub(crate) fn plan(args: &PlanArgs) -> ExitCode {
    let files = match Files::from_args(&args.files) {
        Ok(files) => files,
        Err(error) => return super::fail(&error),
    };
    let loaded = load::load(&files);
    let text = loaded.render(super::colours(&io::stderr()));
    if !text.is_empty() {
        eprintln!("{}", text.trim_end());
    }
    let Some(new) = loaded.plan else {
        return super::fail("the configuration has errors: a reload would change nothing");
    };
    let old = if is_running(&args.runtime.runtime_dir) {
        match ask(&args.runtime.runtime_dir, &Request::Plan) {
            Ok(Response::Plan(old)) => *old,
            Err(error) => return super::fail(&error),
            Ok(_) => return super::fail(MISTAKEN),
        }
    } else {
        eprintln!("no Evenkeel is running here: everything is new");
        Plan::default()
    };
    let changes = diff(&old, &new);
    if args.json {
        return match serde_json::to_string_pretty(&changes) {
            Ok(json) => {
                println!("{json}");
                ExitCode::SUCCESS
            }
            Err(error) => super::fail(&error.to_string()),
        };
    }
    print!("{}", text_of(&changes));
    ExitCode::SUCCESS
}

/// A socket that a killed Evenkeel left answers nobody; one that is not ours is an error later.
pub(super) fn is_running(runtime_directory: &str) -> bool {
    match UnixStream::connect(socket_path(runtime_directory)) {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused),
    }
}

/// The changes for people, one line each, drops beneath.
pub(crate) fn text_of(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "nothing changes\n".into();
    }
    let mut text = String::new();
    for change in changes {
        let area = match change.area {
            Area::Global => "global",
            Area::Vrrp => "vrrp",
            Area::Layer4 => "layer 4",
            Area::Layer7 => "layer 7",
        };
        let sign = match change.verb {
            Verb::Add => '+',
            Verb::Remove => '-',
            Verb::Change => '~',
        };
        text.push_str(&format!("{area:8} {sign} {}", change.subject));
        if !change.details.is_empty() {
            text.push_str(&format!(": {}", change.details.join(", ")));
        }
        text.push('\n');
        if let Some(drops) = &change.drops {
            text.push_str(&format!("{:10} drops: {drops}\n", ""));
        }
    }
    let plural = if changes.len() == 1 { "" } else { "s" };
    text.push_str(&format!("{} change{plural}\n", changes.len()));
    text
}
