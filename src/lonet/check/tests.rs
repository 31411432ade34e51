//! Tests with real files: built by the C compiler, copied from the system, or damaged.

mod programs;
mod scripts;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::*;

/// A fresh directory to make files in, and a shared library that stands in for liblonet.so.
struct Bench {
    dir: TempDir,
    library: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let mut bench = Self { dir, library: PathBuf::new() };
        bench.library = bench.cc("int x;", &["-shared", "-fPIC"]);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Compiles `source`.
    fn cc(&self, source: &str, options: &[&str]) -> PathBuf {
        let count = fs::read_dir(self.dir.path()).unwrap().count();
        let (input, output) = (self.path(&format!("{count}.c")), self.path(&format!("built-{count}")));
        fs::write(&input, source).unwrap();
        let status = Command::new("cc").args(options).arg("-o").args([&output, &input]).status().unwrap();
        assert!(status.success(), "cc {options:?}");
        output
    }

    /// Writes an executable file.
    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        chmod(&path, 0o755);
        path
    }

    fn check(&self, program: impl AsRef<Path>) -> Result<(), Refusal> {
        let path = std::env::join_paths([self.dir.path(), Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
        certain(program.as_ref(), &self.library, Some(&path))
    }

    /// The reason why `program` is refused; checks the sentence that the user gets.
    fn reason(&self, program: impl AsRef<Path>) -> Reason {
        let refusal = self.check(&program).unwrap_err();
        let said = refusal.to_string();
        assert!(said.starts_with(&format!("{:?} ", program.as_ref())), "{said}");
        assert!(said.contains(": ") && !said.contains('\n') && !said.ends_with('.'), "{said}");
        refusal.reason
    }
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

const MAIN: &str = "int main(void) { return 0; }";
