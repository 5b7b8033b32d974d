//! Which options go with which command, and what ipvsadm says of those that do not.

use super::options::{Command, Opt, Options};
use model::layer4::Tunnel;

/// How an option goes with a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum With {
    /// It must be there.
    Needed,
    /// It may not.
    Illegal,
    /// One of those at most.
    Alone,
    /// It may.
    Free,
}

fn with(command: Command, option: Opt) -> With {
    use Command as C;
    match (command, option) {
        (C::AddService | C::EditService | C::DeleteService, Opt::Service) => With::Needed,
        (
            C::AddService | C::EditService,
            Opt::Scheduler
            | Opt::Persistent
            | Opt::Netmask
            | Opt::OnePacket
            | Opt::Engine
            | Opt::SchedulerFlags,
        ) => With::Free,
        (C::AddServer | C::EditServer | C::DeleteServer, Opt::Service | Opt::Server) => {
            With::Needed
        }
        (
            C::AddServer | C::EditServer,
            Opt::Forward
            | Opt::Weight
            | Opt::UpperThreshold
            | Opt::LowerThreshold
            | Opt::TunnelType
            | Opt::TunnelPort
            | Opt::TunnelNoChecksum
            | Opt::TunnelChecksum
            | Opt::TunnelRemoteChecksum,
        ) => With::Free,
        (C::List, Opt::Connection | Opt::Service | Opt::Timeout | Opt::Daemon) => With::Alone,
        (
            C::List,
            Opt::Numeric
            | Opt::Statistics
            | Opt::Rate
            | Opt::Thresholds
            | Opt::PersistentConnections
            | Opt::NoSort
            | Opt::SyncId
            | Opt::Exact
            | Opt::TunnelInfo,
        )
        | (C::Save, Opt::Numeric)
        | (C::Zero, Opt::Service)
        | (C::StartDaemon | C::StopDaemon, Opt::SyncId)
        | (
            C::StartDaemon,
            Opt::Multicast
            | Opt::MulticastGroup
            | Opt::MulticastPort
            | Opt::MulticastTtl
            | Opt::SyncLength,
        ) => With::Free,
        (_, _) => With::Illegal,
    }
}

/// What is wrong with these options, if anything is.
pub(super) fn check(command: Command, options: Options) -> Result<(), String> {
    let name = command.name();
    let mut alone: Option<Opt> = None;
    for option in Opt::ALL {
        match (with(command, option), options.has(option)) {
            (With::Needed, false) => {
                let option = option.name();
                return Err(format!(
                    "You need to supply the '{option}' option for the '{name}' command"
                ));
            }
            (With::Illegal, true) => {
                return Err(format!(
                    "Illegal '{}' option with the '{name}' command",
                    option.name()
                ));
            }
            (With::Alone, true) => {
                if let Some(first) = alone {
                    return Err(format!(
                        "The option '{}' conflicts with the '{}' option in the '{name}' command",
                        option.name(),
                        first.name()
                    ));
                }
                alone = Some(option);
            }
            (With::Needed | With::Free, true)
            | (With::Illegal | With::Alone | With::Free, false) => {}
        }
    }
    Ok(())
}

/// The same for the options of tunnels.
pub(super) fn check_tunnel(kind: Tunnel, options: Options) -> Result<(), String> {
    let name = match kind {
        Tunnel::IpIp => "ipip",
        Tunnel::Gue { .. } => "gue",
        Tunnel::Gre { .. } => "gre",
    };
    let with = |option: Opt| match (kind, option) {
        (Tunnel::Gue { .. }, Opt::TunnelPort) => With::Needed,
        (Tunnel::Gue { .. }, _)
        | (Tunnel::Gre { .. }, Opt::TunnelNoChecksum | Opt::TunnelChecksum) => With::Alone,
        (Tunnel::IpIp | Tunnel::Gre { .. }, _) => With::Illegal,
    };
    let mut alone: Option<Opt> = None;
    let all =
        [Opt::TunnelPort, Opt::TunnelNoChecksum, Opt::TunnelChecksum, Opt::TunnelRemoteChecksum];
    for option in all {
        match (with(option), options.has(option)) {
            (With::Needed, false) => {
                return Err(format!(
                    "You need to supply the '{}' option for the '{name}' tunnel type",
                    option.name()
                ));
            }
            (With::Illegal, true) => {
                return Err(format!(
                    "Illegal '{}' option with the '{name}' tunnel type",
                    option.name()
                ));
            }
            (With::Alone, true) => {
                if let Some(first) = alone {
                    return Err(format!(
                        "The option '{}' conflicts with the '{}' option in the '{name}' tunnel type",
                        option.name(),
                        first.name()
                    ));
                }
                alone = Some(option);
            }
            (With::Needed | With::Free, true)
            | (With::Illegal | With::Alone | With::Free, false) => {}
        }
    }
    Ok(())
}
