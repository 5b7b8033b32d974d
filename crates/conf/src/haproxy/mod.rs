//! haproxy.cfg.
