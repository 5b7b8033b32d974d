//! Habits of Keepalived that the supervisor takes over when it is called by that name: pid files
//! of the roles, dumps on signals, ending with the first role that ends.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use model::control::{Runtime, ToRole};
use model::plan::Global;
use model::status::{AdvertErrors, HelperReport, InstanceStatus, VrrpReport};

use crate::cli::Role;
use crate::personality::keepalived::{Dump, Function};

use super::Supervisor;

/// What another program's command line asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Habits {
    /// Where process ids go: the supervisor's own, and those of roles.
    pub(crate) pid_files: Vec<(Option<Role>, PathBuf)>,
    /// Names of pid files, without the end, that have the usual place.
    pub(crate) pid_names: Vec<(Option<Role>, &'static str)>,
    /// These names count only where the configuration says so (`use_pid_dir`, `instance`,
    /// `net_namespace`).
    pub(crate) pid_names_on_demand: bool,
    /// Nobody has named directories: a director with a namespace or an instance of its own has
    /// its own.
    pub(crate) own_directories: bool,
    /// End when a role ends, instead of starting it again.
    pub(crate) no_respawn: bool,
    /// At the end virtual addresses stay where they are.
    pub(crate) leave_addresses: bool,
    /// At the end layer-4 forwarding stays.
    pub(crate) leave_forwarding: bool,
    /// Directory of the files that SIGUSR1 and others write; absent when these signals have our
    /// own meaning.
    pub(crate) dumps: Option<PathBuf>,
}

impl Habits {
    /// What a director has that is not named otherwise.
    pub(crate) const PID_NAMES: [(Option<Role>, &'static str); 3] =
        [(None, "keepalived"), (Some(Role::Vrrp), "vrrp"), (Some(Role::Director), "checkers")];

    /// Fixes what depends on the configuration: places of pid files, and directories of its own
    /// for a second director on the machine.
    pub(crate) fn settle(&mut self, global: &Global, runtime: &mut Runtime) {
        if global.pid_directory || !self.pid_names_on_demand {
            let names = std::mem::take(&mut self.pid_names);
            let path = |name| PathBuf::from(global.run_file(name, "pid"));
            self.pid_files.extend(names.into_iter().map(|(role, name)| (role, path(name))));
        }
        let apart = [&global.network_namespace, &global.instance];
        for name in apart.into_iter().flatten().filter(|_| self.own_directories) {
            runtime.directory.push_str(&format!("-{name}"));
            runtime.pin_directory.push_str(&format!("-{name}"));
        }
    }

    /// How a role is told to end.
    pub(super) fn farewell(&self, role: Role) -> ToRole {
        match role {
            Role::Vrrp if self.leave_addresses => ToRole::Leave,
            Role::Director if self.leave_forwarding => ToRole::Leave,
            Role::Helper | Role::Vrrp | Role::Director | Role::Proxy => ToRole::Stop,
        }
    }
}

/// Pid files that are there; removed at the end.
#[derive(Debug, Default)]
pub(super) struct PidFiles {
    files: Vec<PathBuf>,
    /// Directories that were made for them, the innermost last.
    directories: Vec<PathBuf>,
}

impl PidFiles {
    /// Writes a process id.
    pub(super) fn write(&mut self, path: &Path, pid: u32) -> Result<(), String> {
        path.parent()
            .map_or(Ok(()), |directory| self.make(directory))
            .and_then(|()| fs::write(path, format!("{pid}\n")))
            .map_err(|error| format!("cannot write the pidfile {}: {error}", path.display()))?;
        if !self.files.iter().any(|known| known == path) {
            self.files.push(path.to_owned());
        }
        Ok(())
    }

    /// Makes directories within Keepalived's, and nowhere else.
    fn make(&mut self, directory: &Path) -> std::io::Result<()> {
        if !directory.starts_with(PID_DIRECTORY) || directory.is_dir() {
            return Ok(());
        }
        directory.parent().map_or(Ok(()), |above| self.make(above))?;
        match fs::create_dir(directory) {
            Ok(()) => self.directories.push(directory.to_owned()),
            // Another director makes it now.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
            Err(error) => return Err(error),
        }
        // Whatever the mask says: everybody may look for the process ids.
        fs::set_permissions(directory, Permissions::from_mode(0o755))
    }
}

/// Where pid files go that do not go to /run.
const PID_DIRECTORY: &str = "/run/keepalived";

impl Drop for PidFiles {
    fn drop(&mut self) {
        for path in &self.files {
            let _ = fs::remove_file(path);
        }
        // Those in use by others stay.
        for path in self.directories.iter().rev() {
            let _ = fs::remove_dir(path);
        }
    }
}

impl Supervisor {
    /// Writes the process id of a role that was started to the files that want it.
    pub(super) fn note_pid(&mut self, role: Role) {
        let Some(pid) = self.slot(role).running().map(|running| running.pid()) else { return };
        for (of, path) in &self.options.habits.pid_files {
            if *of == Some(role)
                && let Err(error) = self.pid_files.write(path, pid)
            {
                tracing::warn!("{error}");
            }
        }
    }

    /// Writes what a signal asked for.
    pub(super) fn write_dump(
        &mut self,
        function: Function,
        report: Option<&VrrpReport>,
        helper: Option<&HelperReport>,
    ) {
        let Some(directory) = &self.options.habits.dumps else { return };
        let nothing = VrrpReport::default();
        let mut report = report.unwrap_or(&nothing).clone();
        let counted = report.clone();
        subtract(&mut report, &self.counted);
        self.since.see(SystemTime::now(), &counted);
        let scripts = helper.map_or(&[][..], |helper| &helper.scripts);
        let dump = Dump { plan: &self.plan, report: &report, scripts, since: &self.since };
        let (name, text) = match function {
            Function::Data => ("keepalived.data", dump.data()),
            Function::Stats | Function::StatsClear => ("keepalived.stats", dump.stats()),
            Function::Json => ("keepalived.json", dump.json()),
            Function::Stop | Function::Reload => return,
        };
        let path = directory.join(self.dump_name(name));
        match write_privately(&path, &text) {
            Ok(()) => tracing::info!("wrote {}", path.display()),
            Err(error) => tracing::error!("cannot write {}: {error}", path.display()),
        }
        if function == Function::StatsClear {
            self.counted = counted;
        }
    }

    /// With the instance's name in it where `data_use_instance` asks for that.
    fn dump_name(&self, name: &str) -> String {
        let global = &self.plan.global;
        let parts = [&global.instance, &global.network_namespace];
        let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
        match name.split_once('.') {
            Some((stem, extension)) if global.dump_names_instance && !parts.is_empty() => {
                format!("{stem}_{}.{extension}", parts.join("_"))
            }
            Some(_) | None => name.to_owned(),
        }
    }
}

/// Replaces the file; nobody else may read it, as it may hold passwords. A link that somebody put
/// there is replaced and not followed.
fn write_privately(path: &Path, text: &str) -> std::io::Result<()> {
    let new = path.with_extension(format!("{}.new", std::process::id()));
    let _ = fs::remove_file(&new);
    // Created anew and private from the start: nobody can have put a link in its place.
    let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    fs::rename(&new, path)
}

/// Takes away what was counted before the counters were cleared.
fn subtract(report: &mut VrrpReport, before: &VrrpReport) {
    for counted in &mut report.instances {
        if let Some(old) = before.instances.iter().find(|old| old.name == counted.name) {
            subtract_instance(counted, old);
        }
    }
}

fn subtract_instance(counted: &mut InstanceStatus, old: &InstanceStatus) {
    let less = |count: &mut u64, old: u64| *count = count.saturating_sub(old);
    less(&mut counted.adverts_sent, old.adverts_sent);
    less(&mut counted.adverts_received, old.adverts_received);
    less(&mut counted.adverts_discarded, old.adverts_discarded);
    less(&mut counted.became_master, old.became_master);
    less(&mut counted.released_master, old.released_master);
    less(&mut counted.zero_sent, old.zero_sent);
    less(&mut counted.zero_received, old.zero_received);
    let AdvertErrors {
        packet_length,
        advert_interval,
        ttl,
        invalid_type,
        checksum,
        address_list,
        invalid_authentication,
        authentication_mismatch,
        authentication_failure,
        other,
    } = &mut counted.errors;
    less(packet_length, old.errors.packet_length);
    less(advert_interval, old.errors.advert_interval);
    less(ttl, old.errors.ttl);
    less(invalid_type, old.errors.invalid_type);
    less(checksum, old.errors.checksum);
    less(address_list, old.errors.address_list);
    less(invalid_authentication, old.errors.invalid_authentication);
    less(authentication_mismatch, old.errors.authentication_mismatch);
    less(authentication_failure, old.errors.authentication_failure);
    less(other, old.errors.other);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directors_with_pid_files_of_the_same_name_differ_by_namespace_and_instance() {
        let directories = |namespace: Option<&str>, instance: Option<&str>, own| {
            let global = Global {
                network_namespace: namespace.map(str::to_owned),
                instance: instance.map(str::to_owned),
                ..Global::default()
            };
            let mut runtime = Runtime {
                directory: "/run/evenkeel-lvs".into(),
                pin_directory: "/sys/fs/bpf/evenkeel-lvs".into(),
                xdp_mode: model::control::XdpMode::Auto,
                connections_max: 4096,
                connections6_max: 4096,
            };
            let habits = || Habits { own_directories: own, ..Habits::default() };
            habits().settle(&global, &mut runtime);
            (runtime.directory, runtime.pin_directory)
        };
        let both = |end: &str| {
            (format!("/run/evenkeel-lvs{end}"), format!("/sys/fs/bpf/evenkeel-lvs{end}"))
        };
        assert_eq!(directories(None, None, true), both(""));
        assert_eq!(directories(Some("blue"), None, true), both("-blue"));
        assert_eq!(directories(Some("blue"), Some("two"), true), both("-blue-two"));
        assert_eq!(directories(Some("blue"), None, false), both(""), "somebody named them");
    }
}
