use super::{run, write_out};
use crate::check;
use clap::Args;
use std::ffi::OsString;
use std::process::ExitCode;

/// Tell whether a program can be hooked, and if not, why.
///
/// It is what `lonet run` looks at before it starts a program, and whether the program makes system calls itself; nothing
/// is started here.
///
/// Exit codes: 0 it can be hooked, 1 lonet cannot tell, 126 it cannot be hooked or executed, 127 it was not found, 125 lonet failed.
#[derive(Args)]
pub struct Check {
    /// The program: a path, or a name that is looked for in PATH
    #[arg(value_name = "PROGRAM")]
    program: OsString,
}

impl Check {
    pub fn run(self) -> ExitCode {
        match self.check() {
            Ok(ok) => ok,
            Err((code, text)) => {
                eprintln!("lonet: {text}");
                ExitCode::from(code)
            }
        }
    }

    fn check(&self) -> Result<ExitCode, (u8, String)> {
        let library = run::library().map_err(|text| (run::FAILED, text))?;
        let refusal = |e: check::Refusal| (e.exit_code(), e.to_string());
        let path = std::env::var_os("PATH");
        let program = check::resolve(&self.program, path.as_deref()).map_err(refusal)?;
        check::hookable_for_certain(&program, &library).map_err(refusal)?;
        write_out(|out| writeln!(out, "{program:?} can be hooked")).map_err(|text| (run::FAILED, text))
    }
}
