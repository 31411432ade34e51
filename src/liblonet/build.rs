//! Linker options: the SONAME, with the major version, so that programs linked with the library find a
//! compatible one; and nodelete, as code and handlers of the library may be in use when a program calls
//! dlclose.

fn main() {
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,liblonet.so.{}", env!("CARGO_PKG_VERSION_MAJOR"));
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo:rerun-if-changed=build.rs");
}
