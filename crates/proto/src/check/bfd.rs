//! BFD_CHECK: the vrrp role has the session and tells what becomes of it.

use super::words::Text;

pub(super) fn judge(up: bool) -> Result<Text, Text> {
    if up { Ok("BFD session up".into()) } else { Err("BFD session down".into()) }
}
