//! Settings: flags and variables, their help, and what is said of those that mean nothing.

use std::process::Command;

use super::install::{PASSWORD, SEALING_KEY};
use super::process::{Directory, Server, run, simmall};

/// The subcommands that `simmall --help` lists.
fn subcommands() -> Vec<String> {
    listed(&run(&mut simmall(["--help"]), "").success())
}

/// The subcommands that a help text lists.
fn listed(help: &str) -> Vec<String> {
    let list = help.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let indent = |line: &str| line.len() - line.trim_start().len();
    let names = list.lines().filter(|line| indent(line) == 2);
    let names = names.map(|line| line.split_whitespace().next().unwrap().to_owned());
    names.filter(|name| name != "help").collect()
}

/// The flags of a help text, each with what is said of it.
fn flags(help: &str) -> Vec<(String, String)> {
    let mut flags: Vec<(String, String)> = Vec::new();
    for line in help.split_once("Options:\n").unwrap().1.lines() {
        if line.trim_start().starts_with('-') && line.contains("--") {
            let name = line.split_once("--").unwrap().1;
            let name = name.split([' ', '=', '[']).next().unwrap();
            flags.push((name.to_owned(), String::new()));
        }
        let said = &mut flags.last_mut().unwrap().1;
        said.push_str(line);
        said.push('\n');
    }
    flags
}

#[test]
fn every_flag_has_its_variable_and_stands_in_the_help() {
    let names = subcommands();
    let expected = [
        "serve",
        "demo",
        "migrate",
        "doctor",
        "backup",
        "restore",
        "sign",
        "listen",
        "seal",
        "openapi",
        "simulator",
        "stripe-double",
        "token",
        "admin",
    ];
    assert_eq!(names, expected);
    let mut seen = 0;
    for name in &names {
        if run(&mut simmall([name, "--help"]), "").success().contains("Commands:\n") {
            seen += explained(name);
            continue;
        }
        let help = run(&mut simmall([name, "--help"]), "").success();
        assert_eq!(run(&mut simmall(["help", name]), "").success(), help);
        for (flag, said) in flags(&help) {
            if ["help", "version"].contains(&flag.as_str()) {
                continue;
            }
            let variable = format!("SIMMALL_{}", flag.to_uppercase().replace('-', "_"));
            let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
            let shown = [format!("[env: {variable}]"), format!("[env: {variable}=]")];
            assert!(shown.iter().any(|shown| said.contains(shown)), "{name}: {said}");
            // Words on what it does, beside the names.
            let about = said.split_once("[env: ").unwrap().0;
            assert!(about.split(' ').count() > 5, "{name}: {said}");
            seen += 1;
        }
    }
    assert!(seen >= 25, "only {seen} flags were found");
}

/// What is below a command says in flags what to do, which no variable may do; each is explained.
fn explained(name: &str) -> usize {
    let mut seen = 0;
    for below in listed(&run(&mut simmall([name, "--help"]), "").success()) {
        let help = run(&mut simmall([name, &below, "--help"]), "").success();
        for (flag, said) in flags(&help).iter().filter(|(flag, _)| flag != "help") {
            let about = said.split("[env: ").next().unwrap();
            assert!(about.split_whitespace().count() >= 5, "{name} {below} --{flag}: {said}");
            seen += 1;
        }
    }
    seen
}

#[test]
fn a_variable_that_means_nothing_is_named() {
    let directory = Directory::new();
    let url = format!("sqlite://{}", directory.join("mall.db"));
    let mut migrate = simmall(["migrate", "--database-url", &url]);
    let complaint = run(migrate.env("SIMMALL_LOG_FORMATT", "json"), "").failure();
    assert!(complaint.contains("SIMMALL_LOG_FORMATT"), "{complaint}");
    assert!(!std::fs::exists(directory.join("mall.db")).unwrap(), "it has worked all the same");
    // It is named above all where the right one is missed, and its value, maybe a secret, is not.
    let mut migrate = simmall(["migrate"]);
    let slip = migrate.env("SIMMALL_DATABASE_ULR", format!("postgres://joe:{PASSWORD}@db/mall"));
    let complaint = run(slip, "").failure();
    assert!(complaint.contains("SIMMALL_DATABASE_ULR"), "{complaint}");
    assert!(!complaint.contains(PASSWORD), "{complaint}");
    // Help is given whatever stands in the environment, and other programs' variables are theirs.
    run(simmall(["migrate", "--help"]).env("SIMMALL_NONSENSE", "1"), "").success();
    run(simmall(["migrate", "--database-url", &url]).env("SIMMAL_LOG", "1"), "").success();
}

#[test]
fn a_flag_or_value_that_means_nothing_is_named() {
    for name in subcommands() {
        let complaint = run(&mut simmall([&name, "--nonsense"]), "").failure();
        assert!(complaint.contains("--nonsense"), "{complaint}");
    }
    let complaint = run(&mut simmall(["serv"]), "").failure();
    assert!(complaint.contains("serve"), "{complaint}");
    let directory = Directory::new();
    for (flag, value) in [
        ("listen", "localhost"),
        ("log", "mall=loud"),
        ("log-format", "xml"),
        ("payment-window-minutes", "0"),
        ("price-window-minutes", "-1"),
        ("provisioning-deadline-minutes", "525601"),
        ("workers", "0"),
        ("simulator", "explode"),
        ("root-mode", "prod"),
        ("connections-max", "0"),
        ("connections-per-address-max", "none"),
        ("idle-timeout-seconds", "0"),
        ("head-timeout-seconds", "3601"),
        ("body-timeout-seconds", "1.5"),
        ("request-timeout-seconds", "-1"),
        ("answer-timeout-seconds", ""),
        ("rate-limit-partner", "10:0"),
        ("rate-limit-address", "fast"),
        ("rate-limit-admin", "1:"),
        ("behind-tls-proxy", "perhaps"),
        ("card-misses-max", "1001"),
        ("trusted-proxies", "10.0.0.0/8,proxy.example"),
        ("client-address-header", "x-real-ip"),
        ("log", "inof"),
    ] {
        let complain = |command: &mut Command| {
            let complaint = run(command.args(["--data", &directory.join("data")]), "").failure();
            assert!(complaint.contains(&format!("--{flag}")), "{complaint}");
        };
        complain(&mut simmall(["demo", &format!("--{flag}={value}")]));
        let variable = format!("SIMMALL_{}", flag.to_uppercase().replace('-', "_"));
        complain(simmall(["demo"]).env(variable, value));
    }
    assert!(!std::fs::exists(directory.join("data")).unwrap(), "it has begun all the same");
}

#[test]
fn variables_do_what_the_flags_do() {
    let directory = Directory::new();
    let mut demo = simmall(["demo"]);
    // The flag is given by whoever starts it here, so it must win over the variable.
    demo.env("SIMMALL_LISTEN", "203.0.113.1:1").env("SIMMALL_DATA", directory.join("data"));
    demo.env("SIMMALL_LOG", "error").env("SIMMALL_WORKERS", "1");
    let ended = Server::start(&mut demo).stop();
    assert!(directory.path().join("data/mall.db").exists());
    // `error` keeps even the word that it stops off the log.
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn secrets_in_the_environment_are_never_shown() {
    const KEY: &str = "hush-hush-key";
    let url = format!("postgres://joe:{PASSWORD}@127.0.0.1:1/mall");
    let secrets = [
        ("SIMMALL_DATABASE_URL", url.as_str()),
        ("SIMMALL_SEALING_KEY", SEALING_KEY),
        ("SIMMALL_KEY", KEY),
    ];
    let told = |text: &str| {
        for secret in [PASSWORD, SEALING_KEY, KEY] {
            assert!(!text.contains(secret), "{text}");
        }
    };
    for name in subcommands() {
        for flag in ["--help", "-h"] {
            told(&run(simmall([&name, flag]).envs(secrets), "").success());
        }
        told(&run(simmall([&name, "--nonsense"]).envs(secrets), "").failure());
    }
    // A signature that cannot be made, and a database that is not there.
    told(&run(simmall(["sign", "--scheme=md5"]).envs(secrets), "{}").failure());
    let mut serve =
        simmall(["serve", "--log=trace", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"]);
    let ended = run(serve.envs(secrets), "");
    let complaint = ended.stderr;
    assert_eq!(ended.code, Some(1), "{complaint}");
    told(&complaint);
    assert!(complaint.contains("127.0.0.1:1"), "it does not say which server: {complaint}");
    // Neither is a key of the wrong length shown, which may be a slip of the hand in the right one.
    let mut serve = simmall(["serve", "--log=trace"]);
    serve.envs(secrets).env("SIMMALL_SEALING_KEY", format!("{SEALING_KEY}0"));
    let complaint = run(&mut serve, "").failure();
    assert!(complaint.contains("64 hexadecimal digits"), "{complaint}");
    told(&complaint);
}

#[test]
fn the_admin_api_is_not_shown_to_others_in_the_clear() {
    let directory = Directory::new();
    let data = directory.join("data");
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80", "[::ffff:192.0.2.1]:80"] {
        let demo = &mut simmall(["demo", "--data", &data, "--admin-listen", listen]);
        let complaint = run(demo, "").failure();
        for part in [&format!("--admin-listen {listen}"), "--behind-tls-proxy", "127.0.0.1"] {
            assert!(complaint.contains(part), "{complaint}");
        }
        assert!(!std::fs::exists(&data).unwrap(), "it has begun all the same");
    }
    for args in [["--admin-listen=0.0.0.0:0", "--behind-tls-proxy"], ["--admin-listen=[::1]:0", ""]]
    {
        let mut demo = simmall(["demo", "--data", &data]);
        demo.args(args.into_iter().filter(|arg| !arg.is_empty()));
        assert_eq!(Server::start(&mut demo).stop().code, Some(0));
    }
}
