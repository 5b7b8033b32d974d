//! FILE_CHECK: what the number in a file means for a server.

use alloc::format;

use model::check::FileCheck;

use super::words::Text;

/// Whether the server is up with this number, and what the number adds to its weight. A file that
/// is missing counts as 0, as it does for Keepalived.
///
/// With weight 0 any number but zero is a failure, and reversed zero is one. Otherwise number
/// times weight, reversed the negative of it, is added to the weight of the server when that is
/// wanted; a product beyond the least 32-bit number is a failure (Keepalived: trackers/track_file.c).
pub(super) fn judge(file: &FileCheck, value: Option<i32>) -> (Result<Text, Text>, i32) {
    let number = value.unwrap_or(0);
    let text = Text::from(match value {
        Some(number) => format!("file {} says {number}", file.name),
        None => format!("file {} has no number, which counts as 0", file.name),
    });
    if file.weight == 0 {
        let failed = (number != 0) != file.reverse;
        return (if failed { Err(text) } else { Ok(text) }, 0);
    }
    let product = i64::from(number) * i64::from(file.weight) * if file.reverse { -1 } else { 1 };
    let weight = match i32::try_from(product) {
        Ok(i32::MIN) => return (Err(text), 0),
        Ok(weight) => weight,
        Err(_) if product < 0 => return (Err(text), 0),
        Err(_) => i32::MAX,
    };
    (Ok(text), if file.dynamic { weight } else { 0 })
}
