//! The program's steps in words.

use model::layer4::{ServiceKey, State};

use super::super::layout::LIMITED;
use super::copy::Told;
use super::live::Live;

/// The steps' names: the very file the programs are compiled with.
const STEPS: &str = include_str!("../../../bpf/steps.h");
/// Members of a service that are listed.
const LISTED_MAX: usize = 8;
/// No destination: bpf/schedule/members.h.
const NOBODY: u32 = u32::MAX;

fn name_of(step: u32) -> Option<&'static str> {
    let names = STEPS.lines().filter_map(|line| line.strip_prefix("STEP(")?.split(')').next());
    names.into_iter().nth(step as usize)
}

/// A sentence for each step.
pub(super) fn steps(live: &Live, told: &[Told]) -> Vec<String> {
    let mut service = None;
    let mut sentences = Vec::new();
    for (step, about) in told {
        let name = name_of(*step).unwrap_or_default();
        if name == "service_found" {
            service = live.service(*about as u32).map(|found| found.key);
        }
        sentences.push(sentence(live, name, *about, service));
    }
    sentences
}

fn sentence(live: &Live, name: &str, about: u64, service: Option<ServiceKey>) -> String {
    let server = || server(live, about as u32);
    let state = || state(about >> 32);
    match name {
        "connection_known" => {
            format!("a connection of this client's port is known: to {}, {}", server(), state())
        }
        "connection_unknown" => "no connection of this client's port is known".to_owned(),
        "connection_over" => format!(
            "that connection, to {}, is over: its time is up, it was closed and its client begins \
             anew, or its server left",
            server()
        ),
        "answer_known" => {
            format!("it is an answer of {} in a connection that is {}", server(), state())
        }
        "service_found" => service_found(live, about as u32),
        "service_unknown" => "it is for no virtual server".to_owned(),
        "template_led" => {
            format!("persistence: this client's network was sent to {} before", server())
        }
        "template_new" => {
            format!("persistence: this client's network comes for the first time; {}", {
                chosen(live, about as u32, service)
            })
        }
        "scheduled" => chosen(live, about as u32, service),
        "connection_created" => format!("a connection to {} is entered", server()),
        "connection_has_no_room" => "the connection table has no room for it".to_owned(),
        "way_known" => format!("out by {}", live.interface_name(about as u32)),
        "way_too_narrow" => format!("it does not fit on the way, which takes {about} bytes"),
        "way_unknown" => {
            format!("the next hop is not known yet (bpf_fib_lookup: {})", about.cast_signed())
        }
        _ => format!("{name} {about}"),
    }
}

fn server(live: &Live, number: u32) -> String {
    let Some(raw) = live.destination(number) else { return format!("server {number}") };
    let endpoint = raw.endpoint();
    match endpoint.port {
        0 => format!("{} ({})", endpoint.address, raw.forwarding()),
        _ => format!("{endpoint} ({})", raw.forwarding()),
    }
}

fn state(number: u64) -> &'static str {
    u8::try_from(number).ok().and_then(State::numbered).map_or("in no state", |state| state.name)
}

fn service_found(live: &Live, number: u32) -> String {
    let Some(found) = live.service(number) else { return format!("virtual server {number}") };
    let mut text = format!("it is for the virtual server {}: {}", found.key, {
        found.settings.scheduler.name()
    });
    if let Some(persistence) = found.settings.persistence {
        let seconds = persistence.timeout.as_secs();
        text.push_str(&format!(", persistent {seconds} s by /{}", persistence.prefix_len));
    }
    text
}

fn chosen(live: &Live, number: u32, service: Option<ServiceKey>) -> String {
    let found = service.and_then(|key| live.service_named(key));
    let scheduler = found.map_or("the scheduler", |found| found.settings.scheduler.name());
    let members = service.map(|key| live.members(key)).unwrap_or_default();
    let listed: Vec<String> = members
        .iter()
        .take(LISTED_MAX)
        .map(|member| {
            let load = live.load(member.destination);
            let endpoint = live.destination(member.destination).map(|raw| raw.endpoint());
            let endpoint = endpoint.map_or_else(String::new, |endpoint| endpoint.to_string());
            format!(
                "{endpoint} (weight {}, {} active, {} inactive)",
                member.weight & !LIMITED,
                load.active,
                load.inactive
            )
        })
        .collect();
    let more = members.len().saturating_sub(LISTED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    match (number, members.is_empty()) {
        (NOBODY, true) => format!("{scheduler} finds no server: there is none in the tables"),
        (NOBODY, false) => {
            format!(
                "{scheduler} finds no server that may be chosen, of {}{more}",
                listed.join(", ")
            )
        }
        (_, true) => format!("{scheduler} chooses {}", server(live, number)),
        (_, false) => {
            let server = server(live, number);
            format!("{scheduler} chooses {server}, of {}{more}", listed.join(", "))
        }
    }
}

/// Counters that moved, with what they mean.
pub(super) fn reason(moved: Vec<(&str, &str)>) -> String {
    let words = |(name, meaning): &(&str, &str)| match *meaning {
        "" => name.replace('_', " "),
        meaning => format!("{meaning} ({name})"),
    };
    moved.iter().map(words).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_have_the_numbers_of_the_program() {
        assert_eq!(name_of(0), Some("connection_known"));
        assert_eq!(name_of(3), Some("answer_known"));
        assert_eq!(name_of(1000), None);
    }

    #[test]
    fn a_reason_is_what_the_counter_means() {
        assert_eq!(reason(vec![("dropped_race", "two at once")]), "two at once (dropped_race)");
        assert_eq!(reason(vec![("forwarded_to_server", "")]), "forwarded to server");
    }
}
