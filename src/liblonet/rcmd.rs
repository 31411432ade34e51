//! rcmd(3).

mod rresvport;

pub fn resolve_real() {
    rresvport::resolve_real();
}
