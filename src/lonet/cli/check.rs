//! `lonet check`: whether a program can be hooked or supervised.

use super::{run, write_json, write_out};
use crate::check;
use crate::exit::FAILED;
use crate::supervise;
use clap::Args;
use serde::Serialize;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// Tell whether a program can be hooked or supervised, and if not, why.
///
/// This is the check that `lonet run` makes before it starts a program. It also looks for system calls in the
/// program's own code. Nothing is started.
///
/// Exit codes: 0 it can be hooked or supervised, 1 lonet cannot tell, as its code seems to make system calls, 126 it can
/// be neither, or cannot be executed or read, 127 it was not found, 125 lonet failed.
#[derive(Args)]
pub struct Check {
    /// The program: a path, or a name that is looked up in PATH
    #[arg(value_name = "PROGRAM")]
    program: OsString,
    /// Print one line of JSON, with the same exit code
    #[arg(long)]
    json: bool,
}

/// Whether and how `lonet run` would run a program.
#[derive(Serialize)]
struct Assessment {
    program: String,
    /// hooked, supervised, unknown, refused or not found.
    verdict: &'static str,
    /// The verdict in a sentence.
    text: String,
    #[serde(skip)]
    code: u8,
}

impl Check {
    pub fn run(self) -> ExitCode {
        let written = match self.assess() {
            Ok(assessment) if self.json => write_json(&assessment).map(|_| assessment.code),
            Ok(assessment) if assessment.code == 0 => {
                write_out(|out| writeln!(out, "{}", assessment.text)).map(|_| assessment.code)
            }
            Ok(assessment) => {
                error_line!("lonet: {}", assessment.text);
                Ok(assessment.code)
            }
            Err(text) => Err(text),
        };
        ExitCode::from(written.unwrap_or_else(|text| {
            error_line!("lonet: {text}");
            FAILED
        }))
    }

    fn assess(&self) -> Result<Assessment, String> {
        let library = run::library()?;
        let assessment = |program: &Path, code, verdict, text| Assessment {
            program: program.display().to_string(),
            verdict,
            text,
            code,
        };
        let refused = |program: &Path, e: check::Refusal| {
            let code = e.exit_code();
            let verdict = match code {
                FAILED => return Err(e.to_string()),
                1 => "unknown",
                127 => "not found",
                _ => "refused",
            };
            Ok(assessment(program, code, verdict, e.to_string()))
        };
        let path = std::env::var_os("PATH");
        let program = match check::resolve(&self.program, path.as_deref()) {
            Ok(program) => program,
            Err(e) => return refused(Path::new(&self.program), e),
        };
        Ok(match check::hookable_for_certain(&program, &library) {
            Ok(()) => assessment(&program, 0, "hooked", format!("{program:?} can be hooked")),
            Err(e) if e.is_supervisable() => match supervise::probe() {
                Ok(()) => assessment(&program, 0, "supervised", format!("{}: it is supervised", e.about())),
                Err(why) => {
                    let text = format!("{}, and it cannot be supervised: {why}", e.about());
                    assessment(&program, 126, "refused", text)
                }
            },
            Err(e) => return refused(&program, e),
        })
    }
}
