//! What is said when checks are late because this machine lacks something: a line a minute.

use std::time::Duration;

use model::Time;

/// From one line to the next, at least.
const PAUSE: Duration = Duration::from_secs(60);

/// Checks that were put off since the last line, and when the next may be said.
#[derive(Debug, Default)]
pub(super) struct Shortage {
    put_off: u64,
    quiet_until: Time,
    line: Option<String>,
}

impl Shortage {
    /// A check was put off for this cause.
    pub(super) fn handle(&mut self, now: Time, cause: String) {
        self.put_off += 1;
        if now < self.quiet_until {
            return;
        }
        self.quiet_until = now + PAUSE;
        let checks = match std::mem::take(&mut self.put_off) {
            1 => "1 check is put off".to_owned(),
            count => format!("{count} checks are put off"),
        };
        self.line = Some(format!("a shortage on this machine, {checks}: {cause}"));
    }

    /// A line for the log.
    pub(super) fn poll_line(&mut self) -> Option<String> {
        self.line.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_minute_names_the_shortage_and_counts() {
        let mut shortage = Shortage::default();
        for second in 0..120 {
            let now = Time::ZERO + Duration::from_secs(second);
            shortage.handle(now, "no files".into());
            let expected = match second {
                0 => Some("a shortage on this machine, 1 check is put off: no files"),
                60 => Some("a shortage on this machine, 60 checks are put off: no files"),
                _ => None,
            };
            assert_eq!(shortage.poll_line().as_deref(), expected, "{second}");
        }
    }
}
