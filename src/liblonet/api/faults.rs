//! Faults between hosts: `lonet cut`, `lonet heal` and `lonet faults` as functions.

use super::error::{Error, EscapedBytes, Result, call};
use super::named::{self, LonetNet};
use super::{ask, bytes};
use lonet_core::control::{Fault, NetworkOp, Reply};
use std::ffi::{c_char, c_int};

/// Has lonetd carry it out. Returns the number of rules concerned, and what they have affected.
///
/// # Safety
/// `from` and `to` are null or C strings.
unsafe fn order(
    net: *const LonetNet,
    what: Fault,
    from: *const c_char,
    to: *const c_char,
) -> Result<(u32, u64)> {
    let name = match what {
        Fault::Cut => "cut",
        Fault::Heal => "heal",
        Fault::Count => "faults",
    };
    let net = named::net(net, name)?;
    // SAFETY: as the caller promises.
    let texts = [from, to].map(|text| unsafe { bytes(text) }.unwrap_or_default());
    let mut call_text = name.to_owned();
    for text in texts.iter().filter(|text| !text.is_empty()) {
        call_text = format!("{call_text} {}", EscapedBytes(text));
    }
    let [Ok(from), Ok(to)] = texts.map(std::str::from_utf8) else {
        return Err(Error::Invalid.because(&call_text, "not UTF-8"));
    };
    if what == Fault::Cut && from.is_empty() {
        return Err(Error::Invalid.because(&call_text, "without a host"));
    }
    ask(&net.client, &NetworkOp::Fault { what, from, to }, call_text, |_, reply| match reply {
        Reply::Met { rules, hits } => Some((rules, hits)),
        _ => None,
    })
}

/// `rules` and `hits` are null or writable.
unsafe fn store(outcome: (u32, u64), rules: *mut u32, hits: *mut u64) -> Result<c_int> {
    if !rules.is_null() {
        // SAFETY: as the caller promises.
        unsafe { rules.write(outcome.0) };
    }
    if !hits.is_null() {
        // SAFETY: as the caller promises.
        unsafe { hits.write(outcome.1) };
    }
    Ok(0)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn lonet_cut(net: *mut LonetNet, from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: null or C strings, as lonet.h says.
    call(|| unsafe { order(net, Fault::Cut, from, to) }.map(|_| 0))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn lonet_heal(
    net: *mut LonetNet,
    from: *const c_char,
    to: *const c_char,
    hits: *mut u64,
) -> c_int {
    call(|| {
        // SAFETY: null or C strings, as lonet.h says.
        let outcome = unsafe { order(net, Fault::Heal, from, to) }?;
        // SAFETY: null or a place for a number, as lonet.h says.
        unsafe { store(outcome, std::ptr::null_mut(), hits) }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn lonet_faults(net: *mut LonetNet, rules: *mut u32, hits: *mut u64) -> c_int {
    call(|| {
        // SAFETY: null is no string.
        let outcome = unsafe { order(net, Fault::Count, std::ptr::null(), std::ptr::null()) }?;
        // SAFETY: null or places for numbers, as lonet.h says.
        unsafe { store(outcome, rules, hits) }
    })
}
