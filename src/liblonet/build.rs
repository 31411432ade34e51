//! The SONAME, so that programs linked with the library find it by name and not by the path of the build; and
//! nodelete, as code and handlers of the library may be in use when a program calls dlclose.

fn main() {
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,liblonet.so");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo:rerun-if-changed=build.rs");
}
