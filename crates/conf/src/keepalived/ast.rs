//! What keepalived.conf says.
/// Everything.
#[derive(Debug, Default)]
pub(crate) struct Configuration {}
