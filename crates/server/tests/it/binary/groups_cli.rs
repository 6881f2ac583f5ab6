//! `simmall admin group` and `operation`: groups of SIMs from the command line, and what became of their SIMs.

use std::time::Duration;

use testkit::{Engine, on_both_engines};

use super::admin_cli::Office;
use super::install::{demo_client, demo_sim};
use super::process::run;

on_both_engines!(a_group_is_made_filled_seen_and_changed);

async fn a_group_is_made_filled_seen_and_changed(engine: Engine) {
    let office = Office::open(engine).await;
    assert_eq!(office.say("group list"), "nothing\n");
    let (plan, limit) = ("--plan SP201804280499", "--sim-limit 2");
    let made = office.json(&format!("group create P000818 FLEET-1 --name First {limit} {plan}"));
    assert_eq!((&made["group_id"], &made["state"]), (&"FLEET-1".into(), &"active".into()));
    assert_eq!((&made["at_limit"], &made["at_end"]), (&"stop".into(), &"renew".into()));
    assert_eq!(made["period_no"], 1);
    // Codes are a partner's own: at the carrier the mall makes one that nobody else has.
    assert!(made["carrier_group"].as_str().unwrap().starts_with("grp_"), "{made}");
    let more = format!("{limit} {plan} --at-limit throttle --at-end end --carrier-group G-77");
    let second = office.json(&format!("group create P000818 FLEET-2 --name Second {more}"));
    assert_eq!((&second["at_limit"], &second["at_end"]), (&"throttle".into(), &"end".into()));
    assert_eq!(second["carrier_group"], "G-77");
    let list = office.say("group list --partner P000818");
    assert!(list.starts_with("PARTNER  GROUP ID"), "{list}");
    assert_eq!(list.lines().count(), 3, "{list}");
    assert_eq!(office.say("group list --partner P012345"), "nothing\n");
    // Page after page, whosever they are.
    assert!(office.say("group list --limit 1").contains("more: "));
    let first = office.json("group list --limit 1");
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = office.json(&format!("group list --limit 1 --cursor {cursor}"));
    assert_eq!(rest["items"][0]["group_id"], second["group_id"]);
    assert!(rest.get("next_cursor").is_none_or(serde_json::Value::is_null), "{rest}");

    // One finds no place, and one is nobody's.
    let client = demo_client(&office.server.url);
    let sims = [demo_sim(1), demo_sim(2), demo_sim(3), "8900100000000000000".to_owned()];
    let begun = client.add_group_sims("FLEET-1", &sims, "").await.unwrap().request_id;
    let mut looks = 0;
    let show = format!("operation show {begun}");
    while office.json(&show)["operation"].get("finished_at").is_none() {
        looks += 1;
        assert!(looks < 1_000, "{}", office.say(&show));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let shown = office.json(&show);
    assert_eq!(shown["operation"]["state"], "PARTIALLY_SUCCEEDED");
    assert_eq!(shown["sims"]["items"].as_array().unwrap().len(), 4);
    let failed = office.json(&format!("{show} --failed"));
    let failed = failed["sims"]["items"].as_array().unwrap();
    let codes: Vec<&str> = failed.iter().map(|sim| sim["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["GROUP_FULL", "SIM_UNKNOWN"]);
    let told = office.say(&format!("{show} --failed"));
    assert!(told.contains("SIM_UNKNOWN") && !told.contains(&sims[0]), "{told}");
    assert!(told.contains("PARTIALLY_SUCCEEDED") && told.contains("ICCID"), "{told}");
    let page = office.json(&format!("{show} --limit 1"));
    let cursor = page["sims"]["next_cursor"].as_str().unwrap();
    let page = office.json(&format!("{show} --limit 1 --cursor {cursor}"));
    assert_eq!(page["sims"]["items"][0]["iccid"], sims[1]);
    assert!(office.say("operation list P000818 FLEET-1").contains(&begun));

    let changed = office.json("group change P000818 FLEET-1 --sim-limit 9 --at-limit renew");
    assert_eq!((&changed["sim_limit"], &changed["at_limit"]), (&9.into(), &"renew".into()));
    assert_eq!((&changed["name"], &changed["sim_count"]), (&"First".into(), &2.into()));
    let set =
        office.json(&format!("group bundle set P000818 FLEET-1 --period-no 1 {plan} --at-end end"));
    assert_eq!((&set["period_no"], &set["at_end"]), (&2.into(), &"end".into()));
    let told = office.say("group show P000818 FLEET-1");
    assert!(told.contains("sim_limit") && told.contains("SP201804280499"), "{told}");
    let log = office.say("audit list");
    assert!(["group.create", "group.change", "group.bundle"].iter().all(|one| log.contains(one)));
    assert_eq!(office.say("group review list"), "nothing\n");
    refusals(&office);
    office.server.stop();
}

fn refusals(office: &Office) {
    let create = "group create P000818 FLEET-1 --name Again --sim-limit 1";
    for (line, status, said) in [
        (format!("{create} --plan SP201804280499"), 1, "FLEET-1"),
        (format!("{create} --plan NONE"), 1, "plan_code"),
        (create.to_owned(), 2, "--plan"),
        (format!("{create} --plan NONE --at-limit explode"), 2, "--at-limit"),
        ("group show P000818 FLEET-9".to_owned(), 1, "group"),
        ("group change P000818 FLEET-1 --sim-limit -1".to_owned(), 2, "-1"),
        ("operation show gop_x".to_owned(), 1, "operation"),
        ("group review resolve P000818 8944000000000000000 --in --reason x".to_owned(), 1, "SIM"),
        ("group review resolve P000818 8944000000000000000 --reason x".to_owned(), 2, "--in"),
        (
            "group review resolve P000818 8944000000000000000 --in --out --reason x".to_owned(),
            2,
            "cannot be used",
        ),
    ] {
        let (code, told) = office.fail(&line);
        assert!(code == status && told.contains(said), "{line}: {code} {told}");
    }
    // Who may only look changes nothing.
    let viewer = super::admin_cli::token(&office.installation, "viewer");
    let mut change = office.admin("group change P000818 FLEET-1 --name Mine");
    let told = run(change.env("SIMMALL_ADMIN_TOKEN", viewer), "").failure();
    assert!(told.contains("operator"), "{told}");
}
