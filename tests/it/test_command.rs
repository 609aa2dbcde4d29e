//! `tests/run` on machines that lack programs: a copy of the script, with a `PATH` of the test's own.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

/// Programs of any machine that the script needs.
const BASICS: [&str; 9] = ["bash", "sh", "env", "dirname", "sort", "cmp", "mkdir", "cp", "cat"];
/// Programs that the script looks for, and may have to install.
const TOOLS: [&str; 16] = [
    "cargo",
    "postgres",
    "initdb",
    "npm",
    "python3",
    "haproxy",
    "pgbouncer",
    "nginx",
    "logrotate",
    "cc",
    "pkg-config",
    "curl",
    "chromium",
    "zstd",
    "xz",
    "bzip2",
];
/// A user that is not root.
const NOBODY: &str = "65534";

/// A machine with the script, and with the programs that it is given; nothing of Debian's folders.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        let root = machine.0.path();
        // The script may run as a user who does not own this.
        fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
        for folder in ["bin", "tests/clients/node_modules", "tests/clients/venv"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for script in ["tests/run", "tests/packages.sh"] {
            let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(script)).unwrap();
            let text = ["/usr/lib/postgresql", "/etc/postgresql-common", "/usr/sbin"]
                .iter()
                .fold(text, |text, folder| text.replace(folder, "/nowhere"));
            machine.write(script, &text);
        }
        // The clients are installed.
        machine.write("tests/clients/package-lock.json", "{}");
        machine.write("tests/clients/node_modules/.installed-lock.json", "{}");
        machine.write("tests/clients/requirements.txt", "gql");
        machine.write("tests/clients/venv/.installed-requirements.txt", "gql");
        for program in BASICS {
            let found = ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(program));
            let found = found.iter().find(|file| file.exists()).unwrap();
            symlink(found, root.join("bin").join(program)).unwrap();
        }
        machine
    }

    fn write(&self, file: &str, text: &str) {
        let file = self.0.path().join(file);
        fs::write(&file, text).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Adds a program of this name, which prints its arguments.
    fn add(&self, program: &str) {
        self.write(&format!("bin/{program}"), &format!("#!/bin/sh\necho {program} \"$@\"\n"));
    }

    fn add_node(&self, version: &str) {
        self.write("bin/node", &format!("#!/bin/sh\necho {version}\n"));
    }

    /// Runs `tests/run` as a user who is not root.
    fn run(&self, arguments: &[&str]) -> Output {
        let id = Command::new("id").arg("-u").output().unwrap();
        let mut command = if id.stdout == b"0\n" {
            let mut command = Command::new("/usr/bin/setpriv");
            command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]).arg(self.0.path().join("tests/run"));
            command
        } else {
            Command::new(self.0.path().join("tests/run"))
        };
        let bin = self.0.path().join("bin");
        let command = command.args(arguments).env_clear().env("PATH", &bin).env("HOME", "/nowhere");
        command.env("CHROMIUM", bin.join("chromium")).current_dir("/").output().unwrap()
    }
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

#[test]
fn missing_packages_are_an_error_without_root_or_sudo() {
    let machine = Machine::new();
    machine.add("apt-get");
    let output = machine.run(&[]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let packages = "postgresql nodejs npm python3 python3-venv chromium haproxy pgbouncer nginx logrotate \
                    build-essential pkg-config curl zstd xz-utils bzip2";
    assert!(stderr.contains(&format!("missing: {packages}")), "{stderr}");
    assert!(stderr.contains("no sudo") && stderr.contains(&format!("apt-get install {packages}")), "{stderr}");
    assert!(!stderr.contains("not found"), "{stderr}");
    assert_eq!(text(&output.stdout), "", "nothing is run");
}

#[test]
fn refused_sudo_is_an_error_with_the_missing_packages() {
    let machine = Machine::new();
    machine.add("apt-get");
    machine.write("bin/sudo", "#!/bin/sh\necho sudo: a password is required >&2\nexit 1\n");
    let output = machine.run(&[]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("missing: postgresql") && stderr.contains("sudo does not let you"), "{stderr}");
}

#[test]
fn tests_of_all_crates_run_even_after_a_failure() {
    let machine = Machine::new();
    TOOLS.iter().for_each(|tool| machine.add(tool));
    machine.add_node("v18.20.4");
    for (arguments, called) in [
        (&[][..], "cargo test --workspace --locked --no-fail-fast\n"),
        (&["--test", "it"], "cargo test --workspace --locked --no-fail-fast --test it\n"),
        (&["--no-fail-fast", "--lib"], "cargo test --workspace --locked --no-fail-fast --lib\n"),
    ] {
        let output = machine.run(arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(text(&output.stdout), called);
    }
}

#[test]
fn old_node_is_refused() {
    let machine = Machine::new();
    TOOLS.iter().for_each(|tool| machine.add(tool));
    machine.add_node("v18.10.0");
    let output = machine.run(&[]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("Node 18.11.0 or newer") && stderr.contains("v18.10.0"), "{stderr}");
}

/// As Node 18, and newer versions without module detection.
#[test]
fn dashboard_scripts_are_modules_for_node_without_module_detection() {
    const IMPORT: &str = "import(process.argv[1]).then(({ REPORT }) => console.log(typeof REPORT))";
    const INVALID_ARGUMENT: i32 = 9;
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/api/assets/dashboard/query.js");
    let run = |flags: &[&str]| Command::new("node").args(flags).args(["-e", IMPORT, file]).output().unwrap();
    let mut output = run(&["--no-experimental-detect-module"]);
    if output.status.code() == Some(INVALID_ARGUMENT) {
        output = run(&[]);
    }
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "string\n");
}
