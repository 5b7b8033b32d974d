//! Names that checkers follow: BFD sessions and files.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

use crate::diagnostic::Diagnostic;
use crate::keepalived::ast::{Bfd, Checker, CheckerKind, Common, Configuration, FileTrack};
use crate::source::{Span, Spanned};
use crate::suggest;

/// Finds what BFD_CHECK and FILE_CHECK name; a FILE_CHECK without a weight takes the file's. What
/// `global_defs` says of all checkers becomes what each says.
pub(in crate::lower) fn settle(from: &mut Configuration, diagnostics: &mut Vec<Diagnostic>) {
    let sessions: BTreeMap<&str, &Bfd> =
        from.bfd.iter().map(|bfd| (bfd.name.value.as_str(), bfd)).collect();
    let files: BTreeMap<&str, (i32, bool)> = from
        .files
        .iter()
        .map(|file| {
            let weight = file.own_weight();
            (file.name.value.as_str(), (i32::from(weight.weight), weight.reverse))
        })
        .collect();
    for server in from.virtual_servers.iter_mut().flat_map(|service| &mut service.real_servers) {
        let mut followed: BTreeMap<&str, Span> = BTreeMap::new();
        for Checker { common, kind } in &mut server.checkers {
            if from.global.log_all_failures {
                log_everything(common, kind);
            }
            match kind {
                CheckerKind::Bfd(name) => {
                    find_session(&sessions, name, diagnostics);
                    if let Some(&first) = followed.get(name.value.as_str()) {
                        let message = format!("this server follows {} already", name.value);
                        diagnostics.push(
                            Diagnostic::error(name.span, message)
                                .related(first, "followed here first")
                                .help("remove one of the two BFD_CHECKs"),
                        );
                    }
                    followed.insert(&name.value, name.span);
                }
                CheckerKind::File(file) => find_file(&files, file, diagnostics),
                CheckerKind::Tcp
                | CheckerKind::Http(_)
                | CheckerKind::Smtp(_)
                | CheckerKind::Dns(_)
                | CheckerKind::Udp(_)
                | CheckerKind::Ping
                | CheckerKind::Misc(_) => {}
            }
        }
    }
}

fn log_everything(common: &mut Common, kind: &mut CheckerKind) {
    common.log_all_failures = Some(true);
    if let CheckerKind::Smtp(smtp) = kind {
        smtp.hosts.iter_mut().for_each(|host| host.log_all_failures = None);
    }
}

fn find_session(
    sessions: &BTreeMap<&str, &Bfd>,
    name: &Spanned<alloc::string::String>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    match sessions.get(name.value.as_str()) {
        // A session that says neither is for both.
        Some(bfd) if bfd.checker || !bfd.vrrp => {}
        Some(bfd) => diagnostics.push(
            Diagnostic::error(name.span, format!("only VRRP may follow {}", name.value))
                .related(bfd.name.span, "defined here")
                .help("write checker in the bfd_instance too"),
        ),
        None => {
            let help = suggest::did_you_mean(&name.value, sessions.keys().copied())
                .unwrap_or_else(|| format!("define it: bfd_instance {} {{ ... }}", name.value));
            let message = format!("no bfd_instance is named {}", name.value);
            diagnostics.push(Diagnostic::error(name.span, message).help(help));
        }
    }
}

fn find_file(
    files: &BTreeMap<&str, (i32, bool)>,
    file: &mut FileTrack,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let name = &file.name;
    let Some(&weight) = files.get(name.value.as_str()) else {
        let help = suggest::did_you_mean(&name.value, files.keys().copied())
            .unwrap_or_else(|| format!("define it: track_file {} {{ ... }}", name.value));
        let message = format!("no track_file is named {}", name.value);
        diagnostics.push(Diagnostic::error(name.span, message).help(help));
        return;
    };
    file.weight.get_or_insert(weight);
}
