//! The soak of `make soak`, for seconds instead of minutes.

use std::time::Duration;

#[path = "../../benches/soak/soak/mod.rs"]
#[allow(dead_code, reason = "the bench writes down the rest")]
mod whole;

use whole::Settings;

#[test]
fn flows_come_and_go_for_a_while_and_nothing_of_them_stays() {
    if let Some(reason) = whole::missing() {
        return println!("skipped: {reason}");
    }
    let settings = Settings {
        length: Duration::from_secs(16),
        audit_every: Duration::from_secs(4),
        quiet: Duration::from_secs(3),
        flows_per_second: 2000,
        streams_per_second: 100,
        udp_timeout: Duration::from_secs(3),
        connections: 65536,
    };
    let found = whole::soak(&settings).unwrap();
    assert_eq!(found.audits.len(), 4);
    assert!(found.memory.len() > 1);
}
