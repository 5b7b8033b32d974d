//! What a virtual server is beyond its address and its real servers.

pub(crate) mod conduct;
pub(crate) mod groups;
pub(crate) mod life;
pub(crate) mod method;
pub(crate) mod quorum;
pub(crate) mod scheduler;
