//! The state of libc's resolver (`res_state` in resolver(3)), as far as hooks read and write it.

use libc::{c_char, c_int, c_void};

/// struct __res_state of resolv.h, up to its error code.
#[repr(C)]
pub struct ResolverState {
    times: [c_int; 2],
    pub options: libc::c_ulong,
    count: c_int,
    servers: [libc::sockaddr_in; 3],
    id: u16,
    /// The domains to search, up to the first null.
    pub search: [*mut c_char; 7],
    domain: [c_char; 256],
    codes: libc::c_ulong,
    bits: u32,
    sort: [[u32; 2]; 10],
    hooks: [*mut c_void; 2],
    pub h_errno: c_int,
}

impl ResolverState {
    /// ndots: a name with so many dots is first looked up as it is.
    pub fn dots(&self) -> u32 {
        self.bits & 0xf
    }
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn the_state_is_laid_out_as_in_resolv_h() {
        // offsetof(struct __res_state, res_h_errno), by gcc.
        assert_eq!(std::mem::offset_of!(super::ResolverState, h_errno), 496);
    }
}
