//! Chains to steps: one program per family, in the order in which the kernel calls chains.

use model::marks::{MarkChange, MarkRule, MarkRules, MarkStep, PacketMatch, STEPS_MAX, UnreadRule};
use model::vrrp::Family;

use super::chain::{Chain, Hook, Meaning, Rule, Table, Verdict};

/// Chains within chains; the kernel has 16.
const DEPTH_MAX: usize = 16;
/// Steps that are looked at before those without consequence are left out.
const DRAFT_MAX: usize = 16_384;

/// Everything that tables say about marks.
pub(super) fn compile(tables: &[Table]) -> MarkRules {
    let mut told = Told::default();
    let mut program = |family: Family| {
        let mut draft = Draft { family, steps: Vec::new(), targets: Vec::new(), overflows: false };
        draft.run(tables, &mut told);
        draft.finish(&mut told)
    };
    let (ipv4, ipv6) = (program(Family::Ipv4), program(Family::Ipv6));
    elsewhere(tables, &mut told);
    MarkRules { ipv4, ipv6, rules: told.rules, unread: told.unread }
}

/// Rules that were spoken of.
#[derive(Default)]
struct Told {
    rules: Vec<MarkRule>,
    unread: Vec<UnreadRule>,
}

impl Told {
    fn rule(&mut self, table: &Table, rule: &Rule, change: MarkChange, packet: &PacketMatch) {
        let firewall = table.firewall.name();
        if self.rules.iter().any(|known| known.firewall == firewall && known.place == rule.place) {
            return;
        }
        self.rules.push(MarkRule {
            family: rule.family.or(table.family),
            firewall: firewall.to_owned(),
            place: rule.place.clone(),
            text: rule.text.clone(),
            change,
            packet: packet.clone(),
        });
    }

    fn unread(&mut self, table: &Table, rule: &Rule, reason: &str, mark: Option<u32>) {
        let firewall = table.firewall.name();
        if self.unread.iter().any(|known| known.firewall == firewall && known.place == rule.place) {
            return;
        }
        self.unread.push(UnreadRule {
            firewall: firewall.to_owned(),
            place: rule.place.clone(),
            text: rule.text.clone(),
            reason: reason.to_owned(),
            mark,
        });
    }
}

/// Where a step leads: resolved when the place of a label is known.
#[derive(Clone, Copy)]
enum Target {
    Next,
    Label(usize),
}

struct Draft {
    family: Family,
    steps: Vec<(PacketMatch, Option<MarkChange>, Target, Target)>,
    /// Places of the labels.
    targets: Vec<usize>,
    overflows: bool,
}

/// The ends that a rule may lead to.
#[derive(Clone, Copy)]
struct Ends {
    chain: usize,
    base: usize,
    all: usize,
}

impl Draft {
    fn run(&mut self, tables: &[Table], told: &mut Told) {
        let family = self.family;
        let chains = tables.iter().filter(|table| table.is_of(family)).flat_map(|table| {
            let base = |chain: &&Chain| matches!(chain.hook, Some(Hook::Prerouting(_)));
            table.chains.iter().filter(base).map(move |chain| (table, chain))
        });
        let mut chains: Vec<(&Table, &Chain)> = chains.collect();
        chains.sort_by_key(|(_, chain)| match chain.hook {
            Some(Hook::Prerouting(priority)) => priority,
            Some(Hook::Other) | None => i64::MAX,
        });
        let all = self.label();
        for (table, chain) in chains {
            let base = self.label();
            self.chain(table, chain, Ends { chain: base, base, all }, 0, told);
            self.place(base);
        }
        self.place(all);
    }

    fn label(&mut self) -> usize {
        self.targets.push(0);
        self.targets.len() - 1
    }

    fn place(&mut self, label: usize) {
        self.targets[label] = self.steps.len();
    }

    fn push(
        &mut self,
        packet: &PacketMatch,
        change: Option<MarkChange>,
        then: Target,
        other: Target,
    ) {
        if self.steps.len() >= DRAFT_MAX {
            self.overflows = true;
            return;
        }
        self.steps.push((packet.clone(), change, then, other));
    }

    fn chain(&mut self, table: &Table, chain: &Chain, ends: Ends, depth: usize, told: &mut Told) {
        for (number, rule) in chain.rules.iter().enumerate() {
            if rule.family.is_some_and(|family| family != self.family) {
                continue;
            }
            match &rule.meaning {
                Meaning::Known { packet, change, verdict } => {
                    if let Some(change) = change {
                        told.rule(table, rule, *change, packet);
                    }
                    self.rule(table, packet, *change, verdict, ends, depth, told);
                }
                Meaning::Unknown { reason, changes_mark, mark, verdict } => {
                    let later = || chain.rules[number + 1..].iter().any(|it| marks(table, it, 0));
                    let concerns = match verdict {
                        Verdict::Continue => false,
                        Verdict::Return | Verdict::Accept | Verdict::Drop => later(),
                        Verdict::Jump(to) | Verdict::Goto(to) => chain_marks(table, to, 0),
                    };
                    if *changes_mark || concerns {
                        told.unread(table, rule, reason, *mark);
                    }
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one rule and where it stands")]
    fn rule(
        &mut self,
        table: &Table,
        packet: &PacketMatch,
        change: Option<MarkChange>,
        verdict: &Verdict,
        ends: Ends,
        depth: usize,
        told: &mut Told,
    ) {
        let next = Target::Next;
        match verdict {
            Verdict::Continue if change.is_none() => {}
            Verdict::Continue => self.push(packet, change, next, next),
            Verdict::Return => self.push(packet, change, Target::Label(ends.chain), next),
            Verdict::Accept => self.push(packet, change, Target::Label(ends.base), next),
            Verdict::Drop => {
                // The kernel is to get it as it is, and will drop it.
                let none = Some(MarkChange::set(0));
                self.push(packet, none, Target::Label(ends.all), next);
            }
            Verdict::Jump(name) | Verdict::Goto(name) => {
                let Some(chain) = table.chain(name).filter(|_| depth < DEPTH_MAX) else { return };
                if change.is_none() && !is_relevant(table, name, 0) && !leads_away(verdict) {
                    return;
                }
                let (after, end) = (self.label(), self.label());
                let goto = leads_away(verdict);
                self.push(packet, change, next, Target::Label(after));
                let inner = Ends { chain: if goto { ends.chain } else { end }, ..ends };
                self.chain(table, chain, inner, depth + 1, told);
                if goto {
                    let any = PacketMatch::default();
                    self.push(&any, None, Target::Label(ends.chain), next);
                }
                self.place(end);
                self.place(after);
            }
        }
    }

    /// The steps up to the last one that changes a mark; none if there are too many.
    fn finish(self, told: &mut Told) -> Vec<MarkStep> {
        let last = self.steps.iter().rposition(|(_, change, _, _)| change.is_some());
        let count = last.map_or(0, |last| last + 1);
        if count > STEPS_MAX || self.overflows {
            told.unread.push(UnreadRule {
                firewall: match self.family {
                    Family::Ipv4 => "IPv4".to_owned(),
                    Family::Ipv6 => "IPv6".to_owned(),
                },
                place: "all chains".to_owned(),
                text: format!("{count} steps"),
                reason: format!("more than {STEPS_MAX} rules: none of them is followed"),
                mark: None,
            });
            return Vec::new();
        }
        let targets = &self.targets;
        let resolve = |target: Target, at: usize| {
            let place = match target {
                Target::Next => at + 1,
                Target::Label(label) => targets[label],
            };
            place.min(count) as u16
        };
        let steps = self.steps.into_iter().take(count).enumerate();
        let step = |(at, (packet, change, then, otherwise))| MarkStep {
            packet,
            change,
            then: resolve(then, at),
            otherwise: resolve(otherwise, at),
        };
        steps.map(step).collect()
    }
}

fn leads_away(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Goto(_))
}

/// Whether a rule may change a mark, or a chain that it leads to.
fn marks(table: &Table, rule: &Rule, depth: usize) -> bool {
    let (changes, verdict) = match &rule.meaning {
        Meaning::Known { change, verdict, .. } => (change.is_some(), verdict),
        Meaning::Unknown { changes_mark, verdict, .. } => (*changes_mark, verdict),
    };
    changes
        || match verdict {
            Verdict::Jump(to) | Verdict::Goto(to) => chain_marks(table, to, depth + 1),
            Verdict::Continue | Verdict::Return | Verdict::Accept | Verdict::Drop => false,
        }
}

fn chain_marks(table: &Table, name: &str, depth: usize) -> bool {
    let rules = table.chain(name).into_iter().flat_map(|chain| &chain.rules);
    depth < DEPTH_MAX && rules.into_iter().any(|rule| marks(table, rule, depth))
}

/// Whether a chain changes marks or keeps packets from the rules after it.
fn is_relevant(table: &Table, name: &str, depth: usize) -> bool {
    let rules = table.chain(name).into_iter().flat_map(|chain| &chain.rules);
    depth < DEPTH_MAX
        && rules.into_iter().any(|rule| {
            let (Meaning::Known { verdict, .. } | Meaning::Unknown { verdict, .. }) = &rule.meaning;
            marks(table, rule, depth)
                || match verdict {
                    Verdict::Accept | Verdict::Drop => true,
                    Verdict::Jump(to) | Verdict::Goto(to) => is_relevant(table, to, depth + 1),
                    Verdict::Continue | Verdict::Return => false,
                }
        })
}

/// Rules that set marks where packets are not seen yet, or are not balanced any more.
fn elsewhere(tables: &[Table], told: &mut Told) {
    for table in tables {
        let others = table.chains.iter().filter(|chain| chain.hook == Some(Hook::Other));
        for rule in others.flat_map(|chain| &chain.rules) {
            let mark = match &rule.meaning {
                Meaning::Known { change: Some(change), .. } => Some(change.value),
                Meaning::Unknown { changes_mark: true, mark, .. } => *mark,
                Meaning::Known { change: None, .. } | Meaning::Unknown { .. } => continue,
            };
            told.unread(table, rule, "only rules in PREROUTING are followed", mark);
        }
    }
}
