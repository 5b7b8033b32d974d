//! The election: intervals, preemption, how adverts are judged and answered.

use alloc::string::ToString;
use core::time::Duration;

use model::units::Priority;

use super::spanned;
use crate::keepalived::ast::Instance;
use crate::keepalived::keyword::section::INSTANCE;
use crate::keepalived::keyword::{Fill, KeywordRow, Rule, keyword};
use crate::keepalived::reader::Reader;
use crate::keepalived::structure::Statement;

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("advert_int", &[INSTANCE]).syntax("SECONDS").example("2").default("1")
        .doc("Time between adverts: whole seconds in version 2, from 0.01 to 40.95 in version 3.")
        .parse(Rule::value(Fill::Instance(advert_int))),
    keyword("nopreempt", &[INSTANCE])
        .doc("Do not take over from a master of lower priority.")
        .parse(Rule::value(Fill::Instance(nopreempt))),
    keyword("preempt", &[INSTANCE])
        .doc("Take over from a master of lower priority, the default.")
        .parse(Rule::value(Fill::Instance(preempt))),
    keyword("preempt_delay", &[INSTANCE]).syntax("0..1000 SECONDS").example("5").default("0")
        .doc("Wait this long before taking over from a master of lower priority.")
        .parse(Rule::value(Fill::Instance(preempt_delay))),
    keyword("down_timer_adverts", &[INSTANCE]).syntax("1..100").example("4").default("3")
        .doc("Adverts missed before the master counts as down; the same on all directors.")
        .parse(Rule::value(Fill::Instance(down_timer_adverts))),
    keyword("lower_prio_no_advert", &[INSTANCE]).syntax("[BOOL]").example("true")
        .default("vrrp_lower_prio_no_advert")
        .doc("A master does not answer the advert of a weaker one.")
        .parse(Rule::value(Fill::Instance(lower_prio_no_advert))),
    keyword("higher_prio_send_advert", &[INSTANCE]).syntax("[BOOL]").example("true")
        .default("vrrp_higher_prio_send_advert")
        .doc("A master sends one more advert before it gives way to a stronger one.")
        .parse(Rule::value(Fill::Instance(higher_prio_send_advert))),
    keyword("owner_ignore_adverts", &[INSTANCE]).syntax("[BOOL]").example("true").since("2.3.3")
        .doc("The owner of the addresses ignores adverts of others.")
        .parse(Rule::value(Fill::Instance(owner_ignore_adverts))),
    keyword("timer_expired_backup", &[INSTANCE]).alias(&["thread_timer_expired"])
        .syntax("[1..254]").example("200").default("254 when written alone").since("2.2.8")
        .doc("With nopreempt: a master that was late enough for a router of this priority to take over becomes backup.")
        .parse(Rule::value(Fill::Instance(timer_expired_backup))),
    keyword("skip_check_adv_addr", &[INSTANCE]).syntax("[BOOL]").example("true")
        .default("vrrp_skip_check_adv_addr")
        .doc("Addresses are not compared in an advert of the same master as the one before.")
        .parse(Rule::value(Fill::Instance(skip_check_adv_addr))),
    keyword("accept", &[INSTANCE])
        .doc("Packets for the addresses are accepted, the default.")
        .parse(Rule::value(Fill::Instance(accept))),
    keyword("no_accept", &[INSTANCE])
        .doc("Packets for the addresses are dropped, unless this director owns them.")
        .parse(Rule::value(Fill::Instance(no_accept))),
    keyword("debug", &[INSTANCE]).syntax("0..4").example("1")
        .doc("Debug level.")
        .no_effect("Keepalived does nothing with it either", Rule::value(Fill::Check(debug))),
    keyword("kernel_rx_buf_size", &[INSTANCE]).syntax("BYTES").example("65536")
        .doc("Receive buffer of adverts.")
        .no_effect("the role chooses its buffers itself", Rule::value(Fill::Check(bytes))),
    keyword("linkbeat_use_polling", &[INSTANCE])
        .doc("Polls the link state of the interface.")
        .no_effect("the kernel tells of every change", Rule::value(Fill::Check(flag))),
];

/// Longest `preempt_delay` (keepalived.conf(5)).
const PREEMPT_DELAY_MAX: Duration = Duration::from_secs(1_000);

fn advert_int(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    let (least, most) = (Duration::from_millis(10), Duration::from_secs(255));
    let value = reader.seconds(statement, least, most);
    instance.advert_interval = spanned(value, statement.header());
}

fn nopreempt(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    instance.nopreempt = Some(reader.flag(statement));
}

fn preempt(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    let span = reader.flag(statement);
    if instance.nopreempt.take().is_some() {
        let message = "preempt cancels the nopreempt above".to_string();
        reader.warning(span, message, "keep one of the two");
    }
}

fn preempt_delay(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    let value = reader.seconds(statement, Duration::ZERO, PREEMPT_DELAY_MAX);
    instance.preempt_delay = spanned(value, statement.header());
}

fn down_timer_adverts(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Instance) {
    let number = reader.number(statement, "a count", 1..=100);
    to.down_timer_adverts = spanned(number.and_then(|n| u8::try_from(n).ok()), statement.header());
}

fn lower_prio_no_advert(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Instance) {
    to.lower_prio_no_advert = spanned(reader.boolean(statement), statement.header());
}

fn higher_prio_send_advert(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Instance) {
    to.higher_prio_send_advert = spanned(reader.boolean(statement), statement.header());
}

fn owner_ignore_adverts(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Instance) {
    to.owner_ignore_adverts = reader.boolean(statement);
}

fn timer_expired_backup(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Instance) {
    let number = match statement.arguments().is_empty() {
        true => Some(254),
        false => reader.number(statement, "a priority", 1..=254),
    };
    let priority = number.and_then(|n| u8::try_from(n).ok());
    let priority = priority.and_then(|n| Priority::try_from(n).ok());
    to.timer_expired_backup = spanned(priority, statement.header());
}

fn skip_check_adv_addr(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Instance) {
    to.skip_check_addresses = reader.boolean(statement);
}

fn accept(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    let span = reader.flag(statement);
    instance.accept = spanned(Some(true), span);
}

fn no_accept(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    let span = reader.flag(statement);
    instance.accept = spanned(Some(false), span);
}

fn debug(reader: &mut Reader<'_>, statement: &Statement<'_>) {
    reader.number(statement, "a level", 0..=4);
}

fn bytes(reader: &mut Reader<'_>, statement: &Statement<'_>) {
    reader.number(statement, "a number of bytes", 0..=u32::MAX);
}

fn flag(reader: &mut Reader<'_>, statement: &Statement<'_>) {
    reader.flag(statement);
}
