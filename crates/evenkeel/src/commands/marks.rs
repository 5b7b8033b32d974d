//! `evenkeel marks`: which packets get which firewall mark, and who serves it.

use std::fmt::Write;
use std::fs;
use std::process::ExitCode;

use model::layer4::Layer4Plan;
use model::marks::{MarkRule, OneOf};
use model::status::MarksStatus;
use model::vrrp::Family;
use serde_json::{Value, json};

use super::plan::is_running;
use crate::cli::MarksArgs;
use crate::control::{MISTAKEN, Request, Response, ask};
use crate::firewall::{self, findings};
use crate::load::{self, Files};

/// Exit code 0 if every mark that is served has a rule, and every rule of one is followed; 1
/// otherwise.
pub(crate) fn marks(args: &MarksArgs) -> ExitCode {
    let is_live = args.firewall.is_none() && is_running(&args.runtime.runtime_dir);
    let found = match is_live {
        true => of_running(&args.runtime.runtime_dir),
        false => of_files(args),
    };
    let (plan, status, source) = match found {
        Ok(found) => found,
        Err(error) => return super::fail(&error),
    };
    let findings = findings(&plan, &status);
    if args.json {
        println!("{:#}", json_of(&plan, &status, source, &findings));
    } else {
        print!("{}", text_of(&plan, &status, source, &findings));
    }
    if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

type Found = (Layer4Plan, MarksStatus, &'static str);

fn of_running(runtime_directory: &str) -> Result<Found, String> {
    let plan = match ask(runtime_directory, &Request::Plan)? {
        Response::Plan(plan) => plan.layer4,
        _ => return Err(MISTAKEN.to_owned()),
    };
    let status = match ask(runtime_directory, &Request::Status)? {
        Response::Status(status) => status.director.and_then(|director| director.marks),
        _ => return Err(MISTAKEN.to_owned()),
    };
    Ok(match status {
        Some(status) => (plan, *status, "as the data plane has them"),
        None => (plan, read_now(), "as the firewall has them now"),
    })
}

fn of_files(args: &MarksArgs) -> Result<Found, String> {
    let files = Files::from_args(&args.files)?;
    let loaded = load::load(&files);
    let Some(plan) = loaded.plan else {
        return Err(format!("{}: {}", files.names().join(", "), loaded.summary));
    };
    let Some(path) = &args.firewall else {
        let source = "as the firewall has them now; no Evenkeel is running here";
        return Ok((plan.layer4, read_now(), source));
    };
    let rules = fs::read_to_string(path)
        .map_err(|error| error.to_string())
        .and_then(|text| firewall::parse(&text))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok((plan.layer4, MarksStatus { rules, ..MarksStatus::default() }, "of the file"))
}

fn read_now() -> MarksStatus {
    firewall::read().into()
}

fn text_of(plan: &Layer4Plan, status: &MarksStatus, source: &str, findings: &[String]) -> String {
    let mut text = String::new();
    let mut served = plan.marks().peekable();
    if served.peek().is_none() {
        text.push_str("no virtual server is of a firewall mark\n");
    }
    for (mark, family, id) in served {
        let of_family = if family == Family::Ipv6 { " IPv6" } else { "" };
        let _ = writeln!(text, "mark {mark}{of_family}: {id}");
        let mut rules = status.rules.giving(mark, family).peekable();
        if rules.peek().is_none() {
            text.push_str("  no rule gives it\n");
        }
        for rule in rules {
            let _ = writeln!(text, "  {}", line_of(rule));
        }
    }
    let others: Vec<&MarkRule> =
        status.rules.rules.iter().filter(|rule| !is_served(plan, status, rule)).collect();
    if !others.is_empty() {
        text.push_str("marks that nobody serves here:\n");
        for rule in others {
            let _ = writeln!(text, "  mark {}: {}", rule.change, line_of(rule));
        }
    }
    let _ = writeln!(text, "rules {source}: {}", status.rules.rules.len());
    if !status.rules.unread.is_empty() {
        text.push_str("rules that are not followed:\n");
        for rule in &status.rules.unread {
            let _ = writeln!(text, "  {}", firewall::unread_line(rule));
        }
    }
    for finding in findings.iter().filter(|it| !it.starts_with("a firewall rule is not followed")) {
        let _ = writeln!(text, "! {finding}");
    }
    text
}

fn line_of(rule: &MarkRule) -> String {
    let MarkRule { firewall, place, text, .. } = rule;
    format!("{firewall} {place}: {text}")
}

fn is_served(plan: &Layer4Plan, status: &MarksStatus, rule: &MarkRule) -> bool {
    plan.marks().any(|(mark, family, _)| status.rules.giving(mark, family).any(|it| it == rule))
}

fn json_of(plan: &Layer4Plan, status: &MarksStatus, source: &str, findings: &[String]) -> Value {
    let services = plan.marks().map(|(mark, family, id)| {
        json!({
            "mark": mark,
            "family": family_name(family),
            "virtual_server": id.to_string(),
            "rules": status.rules.giving(mark, family).map(json_of_rule).collect::<Vec<_>>(),
        })
    });
    let rules = status.rules.rules.iter().map(|rule| {
        let mut value = json_of_rule(rule);
        value["served"] = is_served(plan, status, rule).into();
        value
    });
    json!({
        "source": source,
        "services": services.collect::<Vec<_>>(),
        "rules": rules.collect::<Vec<_>>(),
        "not_followed": status.rules.unread,
        "findings": findings,
    })
}

fn family_name(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "inet",
        Family::Ipv6 => "inet6",
    }
}

fn json_of_rule(rule: &MarkRule) -> Value {
    let list = |names: Vec<String>, negated: bool| json!({ "values": names, "negated": negated });
    let packet = &rule.packet;
    let networks = |list: &OneOf<model::vrrp::IpPrefix>| {
        list.values.iter().map(|it| format!("{}/{}", it.address, it.length)).collect::<Vec<_>>()
    };
    let ports = packet.ports.values.iter().map(|(first, last)| format!("{first}-{last}"));
    json!({
        "firewall": rule.firewall,
        "place": rule.place,
        "text": rule.text,
        "family": rule.family.map(family_name),
        "mark": rule.change.value,
        "mask": rule.change.mask,
        "sources": list(networks(&packet.sources), packet.sources.negated),
        "destinations": list(networks(&packet.destinations), packet.destinations.negated),
        "protocols": packet.protocols.values,
        "ports": list(ports.collect(), packet.ports.negated),
        "interfaces": list(packet.interfaces.values.clone(), packet.interfaces.negated),
    })
}

#[cfg(test)]
mod tests {
    use model::layer4::{Protocol, ServiceKey, VirtualServer};

    use super::*;

    const SAVED: &str = "*mangle\n:PREROUTING ACCEPT [0:0]\n\
        -A PREROUTING -d 192.0.2.80/32 -p tcp -m multiport --dports 80,443 -j MARK --set-xmark \
        0x50/0xffffffff\n\
        -A PREROUTING -p tcp -m set --match-set x dst -j MARK --set-xmark 0x15/0xffffffff\n\
        -A PREROUTING -p tcp -m tcp --dport 25 -j MARK --set-xmark 0x19/0xffffffff\nCOMMIT\n";

    fn plan(marks: &[u32]) -> Layer4Plan {
        let key = |&mark: &u32| ServiceKey::Mark { mark, family: Family::Ipv4 };
        let mut virtual_servers: Vec<VirtualServer> =
            marks.iter().map(|mark| VirtualServer::new(key(mark))).collect();
        let address = [192, 0, 2, 1].into();
        let other = ServiceKey::Address { address, port: 80, protocol: Protocol::Tcp };
        virtual_servers.push(VirtualServer::new(other));
        Layer4Plan { virtual_servers, ..Layer4Plan::default() }
    }

    fn status() -> MarksStatus {
        MarksStatus { rules: firewall::parse(SAVED).unwrap(), ..MarksStatus::default() }
    }

    #[test]
    fn services_rules_and_what_is_not_followed_are_shown() {
        let (plan, status) = (plan(&[80, 21]), status());
        let findings = findings(&plan, &status);
        let text = text_of(&plan, &status, "now", &findings);
        for expected in [
            "mark 80: FWM 80\n  iptables mangle PREROUTING rule 1: -A PREROUTING -d 192.0.2.80/32",
            "mark 21: FWM 21\n  no rule gives it\n",
            "marks that nobody serves here:\n  mark 25: iptables mangle PREROUTING rule 3",
            "rules that are not followed:\n  iptables mangle PREROUTING rule 2: the match set is",
            "! FWM 21: no rule of the firewall gives mark 21, so nobody reaches it",
        ] {
            assert!(text.contains(expected), "{text}\nlacks {expected}");
        }
        assert_eq!(findings.len(), 2, "no rule for 21, and one that may be it: {findings:?}");
        let json = json_of(&plan, &status, "now", &findings);
        assert_eq!(json["services"][0]["rules"][0]["ports"]["values"][1], "443-443");
        assert_eq!(json["rules"][1]["served"], false);
        assert_eq!(json["not_followed"][0]["mark"], 21);
    }

    #[test]
    fn unread_rules_of_marks_that_nobody_serves_are_no_findings() {
        assert_eq!(findings(&plan(&[80]), &status()), Vec::<String>::new());
    }
}
