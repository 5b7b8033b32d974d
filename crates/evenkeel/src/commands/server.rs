//! `evenkeel server`: changes of real servers without a reload.

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use model::control::ServerAction;
use model::layer4::{Forwarding, Tunnel};

use crate::cli::{ForwardingWord, ServerArgs, ServerCommand, ServerCommon};
use crate::control::{
    MISTAKEN, Request, Response, ServerChange, ServerDone, ServerName, ServerOrder, ask,
};

/// From one look at a drain to the next.
const LOOK: Duration = Duration::from_millis(500);

/// Does what was asked. Exit code 1 when it could not be done, or when a drain that is waited for
/// was taken back.
pub(crate) fn server(args: &ServerArgs) -> ExitCode {
    let common = &args.common;
    let Some(command) = &args.command else { return list(common) };
    let (name, action, wait) = match command {
        ServerCommand::List => return list(common),
        ServerCommand::Drain { name, within, wait } => {
            (name.names.join(" "), ServerAction::Drain { within: *within }, *wait)
        }
        ServerCommand::Ready { name } => (name.names.join(" "), ServerAction::Ready, false),
        ServerCommand::Weight { words } => match weighed(words) {
            Ok((name, weight)) => (name, ServerAction::Weight(weight), false),
            Err(error) => return super::fail(&error),
        },
        ServerCommand::Add { name, weight, forwarding } => {
            let forwarding = forwarding.map(|word| match word {
                ForwardingWord::Nat => Forwarding::Nat,
                ForwardingWord::Dr => Forwarding::DirectRouting,
                ForwardingWord::Tun => Forwarding::Tunnel(Tunnel::IpIp),
            });
            (name.names.join(" "), ServerAction::Add { weight: *weight, forwarding }, false)
        }
        ServerCommand::Reset { names } => return reset(common, names),
        ServerCommand::Del { name } => (name.names.join(" "), ServerAction::Delete, false),
    };
    let done = match change(common, &name, action) {
        Ok(done) => done,
        Err(error) => return super::fail(&error),
    };
    if common.json {
        if let Err(error) = print_json(&done) {
            return super::fail(&error);
        }
    } else {
        println!("{}", done.text);
    }
    if wait { wait_for(common, &done) } else { ExitCode::SUCCESS }
}

/// Everything as the files say, or what is named.
fn reset(common: &ServerCommon, names: &[String]) -> ExitCode {
    let words: Vec<&str> = names.iter().flat_map(|name| name.split_whitespace()).collect();
    let (virtual_server, server) = split(&words);
    let request = Request::Reset { virtual_server, server };
    match ask(&common.runtime.runtime_dir, &request) {
        Ok(Response::Reset(text)) if common.json => match print_json(&text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => super::fail(&error),
        },
        Ok(Response::Reset(text)) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Ok(_) => super::fail(MISTAKEN),
        Err(error) => super::fail(&error),
    }
}

/// A virtual server's name of one to three words, and that of a real server if one follows.
fn split(words: &[&str]) -> (Option<String>, Option<String>) {
    let is_one = |word: &&&str, of: &[&str]| of.iter().any(|one| word.eq_ignore_ascii_case(one));
    let mut count = 1;
    count += usize::from(words.first().is_some_and(|it| is_one(&it, &["tcp", "udp", "sctp"])));
    let last = words.get(count - 1);
    count += usize::from(last.is_some_and(|it| is_one(&it, &["group", "fwmark", "fwm"])));
    count += usize::from(words.get(count).is_some_and(|it| is_one(&it, &["ipv6"])));
    let (names, server) = words.split_at(count.min(words.len()));
    let joined = |words: &[&str]| (!words.is_empty()).then(|| words.join(" "));
    (joined(names), joined(server))
}

/// Names and the weight that follows them.
fn weighed(words: &[String]) -> Result<(String, u32), String> {
    let (last, names) = words.split_last().ok_or("name a server and its weight")?;
    match last.parse() {
        Ok(weight @ 0..=65_535) => Ok((names.join(" "), weight)),
        Ok(_) | Err(_) => Err(format!("{last} is no weight: after the servers comes 0 to 65535")),
    }
}

fn change(common: &ServerCommon, name: &str, action: ServerAction) -> Result<ServerDone, String> {
    // `TCP 192.0.2.1:80 10.0.0.1:80` as one word is as good as three.
    let words: Vec<&str> = name.split_whitespace().collect();
    let Some((&server, virtual_server @ [_, ..])) = words.split_last() else {
        return Err("name a virtual server and one of its real servers".into());
    };
    let (virtual_server, server) = (virtual_server.join(" "), server.to_owned());
    let order = ServerOrder { virtual_server, server, action };
    match ask(&common.runtime.runtime_dir, &Request::Server(order))? {
        Response::Server(done) => Ok(done),
        _ => Err(MISTAKEN.into()),
    }
}

/// What is changed at run time, of one server or all.
fn changes(common: &ServerCommon, only: Option<ServerName>) -> Result<Vec<ServerChange>, String> {
    match ask(&common.runtime.runtime_dir, &Request::Servers { only })? {
        Response::Servers(changes) => Ok(changes),
        _ => Err(MISTAKEN.into()),
    }
}

fn list(common: &ServerCommon) -> ExitCode {
    let changes = match changes(common, None) {
        Ok(changes) => changes,
        Err(error) => return super::fail(&error),
    };
    if common.json {
        return match print_json(&changes) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => super::fail(&error),
        };
    }
    if changes.is_empty() {
        println!("nothing is changed at run time");
    }
    for change in &changes {
        println!("{}", line(change));
    }
    ExitCode::SUCCESS
}

/// `TCP 192.0.2.1:80  10.0.0.1:80  drain, 3 active and 1 inactive connections left, ...`
fn line(change: &ServerChange) -> String {
    let ServerChange { virtual_server, server, change: what, since_seconds, .. } = change;
    let left = if change.drains { format!(", {}", left(change)) } else { String::new() };
    format!("{virtual_server:<24} {server:<22} {what}{left} (for {since_seconds} s)")
}

/// What is left of a server that drains.
fn left(change: &ServerChange) -> String {
    let time = match change.remaining_ms {
        None => String::new(),
        Some(0) => return "what was left is cut off".into(),
        Some(ms) => format!(", cut off in {} s", ms.div_ceil(1_000)),
    };
    if !change.known {
        return format!("the director does not say how many connections are left{time}");
    }
    format!("{} active and {} inactive connections left{time}", change.active, change.inactive)
}

/// How a drain stands.
#[derive(Debug, PartialEq, Eq)]
enum Drain {
    /// Connections are left, or nobody knows.
    Goes,
    /// None are left.
    Done,
    /// Somebody took it back.
    Ended,
}

fn state(change: Option<&ServerChange>) -> Drain {
    match change {
        None => Drain::Ended,
        Some(change) if !change.drains => Drain::Ended,
        Some(change) if change.remaining_ms == Some(0) => Drain::Done,
        Some(change) if change.known && change.active + change.inactive == 0 => Drain::Done,
        Some(_) => Drain::Goes,
    }
}

/// Says how many connections are left, whenever that changes, until there are none.
fn wait_for(common: &ServerCommon, done: &ServerDone) -> ExitCode {
    let ServerDone { server, virtual_server, .. } = done;
    let name = ServerName { virtual_server: virtual_server.clone(), server: server.clone() };
    let mut said = None;
    loop {
        let change = match changes(common, Some(name.clone())) {
            Ok(mut changes) => changes.pop(),
            Err(error) => return super::fail(&error),
        };
        if let Some(change) = &change {
            let count = (change.active, change.inactive, change.known);
            if said.replace(count) != Some(count)
                && let Err(error) = say_progress(common, change)
            {
                return super::fail(&error);
            }
        }
        match state(change.as_ref()) {
            Drain::Goes => thread::sleep(LOOK),
            Drain::Done => {
                if !common.json {
                    println!("{server} of {virtual_server} is drained");
                }
                return ExitCode::SUCCESS;
            }
            Drain::Ended => {
                return super::fail(&format!("{server} of {virtual_server} drains no more"));
            }
        }
    }
}

fn say_progress(common: &ServerCommon, change: &ServerChange) -> Result<(), String> {
    if common.json {
        return print_json(change);
    }
    println!("{}", left(change));
    Ok(())
}

fn print_json(value: &impl serde::Serialize) -> Result<(), String> {
    println!("{}", serde_json::to_string(value).map_err(|error| error.to_string())?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_comes_after_the_servers() {
        let weigh = |text: &str| weighed(&text.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(weigh("group web 10.0.0.1 5"), Ok(("group web 10.0.0.1".into(), 5)));
        assert!(weigh("192.0.2.1:80 10.0.0.1:80 65536").is_err());
        assert!(weigh("TCP 192.0.2.1:80 10.0.0.1:80").is_err());
    }

    #[test]
    fn a_drain_is_done_when_nothing_is_left_or_its_time_is_up() {
        let change = ServerChange {
            virtual_server: "TCP 192.0.2.1:80".into(),
            server: "10.0.0.1:80".into(),
            change: "drain".into(),
            drains: true,
            since_seconds: 7,
            remaining_ms: Some(12_001),
            known: true,
            in_table: true,
            active: 3,
            inactive: 1,
        };
        let text = left(&change);
        assert_eq!(text, "3 active and 1 inactive connections left, cut off in 13 s");
        assert_eq!(state(Some(&change)), Drain::Goes);
        let empty = ServerChange { active: 0, inactive: 0, ..change.clone() };
        assert_eq!(state(Some(&empty)), Drain::Done);
        let unknown = ServerChange { known: false, ..empty.clone() };
        assert_eq!(state(Some(&unknown)), Drain::Goes);
        let over = ServerChange { remaining_ms: Some(0), ..change.clone() };
        assert_eq!((state(Some(&over)), state(None)), (Drain::Done, Drain::Ended));
        let ready = ServerChange { drains: false, ..change };
        assert_eq!(state(Some(&ready)), Drain::Ended);
    }
}
