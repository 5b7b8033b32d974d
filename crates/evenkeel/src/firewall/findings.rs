//! What does not fit between the rules and the services of marks.

use model::layer4::Layer4Plan;
use model::marks::UnreadRule;
use model::status::MarksStatus;
use model::vrrp::Family;

/// What does not fit: marks without a rule, rules that are not followed, tools that fail.
pub(crate) fn findings(plan: &Layer4Plan, status: &MarksStatus) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (mark, family, id) in plan.marks() {
        if status.rules.giving(mark, family).next().is_none() {
            let of_family = match family {
                Family::Ipv4 => "",
                Family::Ipv6 => " to IPv6 packets",
            };
            found.push(format!(
                "{id}: no rule of the firewall gives mark {mark}{of_family}, so nobody reaches it; \
                 evenkeel marks shows what was found"
            ));
        }
    }
    let marks: Vec<u32> = plan.marks().map(|(mark, _, _)| mark).collect();
    let unread = status.rules.unread_of(&marks).map(unread_line);
    found.extend(unread.map(|line| format!("a firewall rule is not followed: {line}")));
    found.extend(status.refused.iter().map(|error| format!("firewall marks: {error}")));
    found.extend(
        status.failures.iter().map(|error| format!("the firewall cannot be read: {error}")),
    );
    found
}

/// An unread rule in one line.
pub(crate) fn unread_line(rule: &UnreadRule) -> String {
    let UnreadRule { firewall, place, text, reason, .. } = rule;
    format!("{firewall} {place}: {reason}: {text}")
}
