//! Texts of results: for the log and the status, in the administrator's words.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use core::time::Duration;

/// What a probe says of its result. Most are the same time and again and allocate nothing.
pub(super) type Text = Cow<'static, str>;

pub(super) fn no_answer(within: Duration) -> Text {
    format!("no answer within {}", seconds(within)).into()
}

/// `3 s`, `1.5 s`, `200 ms`.
pub(super) fn seconds(span: Duration) -> String {
    match (span.as_secs(), span.subsec_millis()) {
        (0, milliseconds) => format!("{milliseconds} ms"),
        (whole, 0) => format!("{whole} s"),
        (whole, milliseconds) => {
            let fraction = format!("{milliseconds:03}");
            format!("{whole}.{} s", fraction.trim_end_matches('0'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_people_write_them() {
        let texts = [(3000, "3 s"), (1500, "1.5 s"), (200, "200 ms"), (60_050, "60.05 s")];
        for (milliseconds, text) in texts {
            assert_eq!(seconds(Duration::from_millis(milliseconds)), text);
        }
    }
}
