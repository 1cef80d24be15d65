//! Clients that come, go or change their tickets, and currencies, beside what does not go with them.

use super::*;

/// A libOS whose field and whose client's fields are to be filled in.
fn text(policy: &str, libos: &str, client: &str) -> String {
    format!(
        "name = \"u\"\nduration_ms = 1000\n[broker]\nmode = \"static\"\n[[libos]]\nname = \"one\"\npolicy = \"{policy}\"\nwant = 9\n\
         {libos}\n[[libos.clients]]\nname = \"a\"\nprogram = \"spin\"\n{client}\n"
    )
}

const SWAP: &str = "program = \"hot-swap\"\nswaps_to = \"fifo\"\nswaps_ms = 500";
const GOLD: &str = "[[libos.currencies]]\nname = \"gold\"\ntickets = 5";
const LOCK: &str =
    "arrivals = \"interactive\"\nthink_us = 5\nbudget_us = 900\nwork_us = 800\nlock = \"m\"\nheld_us = 9";

/// The one complaint, which begins with the field's path.
fn is_refused(text: &str, field: &str, why: &str) {
    let all = complaints(text);
    let is_there = all.iter().any(|one| one.contains(&format!(": libos[0].{field}: ")) && one.contains(why));
    assert!(all.len() == 1 && is_there, "{field}: {all:?}");
}

#[test]
fn clients_that_are_taken_over_or_shared_neither_come_nor_go_nor_change() {
    let over = "who takes clients over knows what the file declares of them";
    for field in ["joins_ms", "leaves_ms", "inflation"] {
        let value = if field == "inflation" { "\"own\"" } else { "300" };
        let (client, path) = (format!("{field} = {value}"), format!("clients[0].{field}"));
        assert!(complaints(&text("stride", "", &client)).is_empty());
        is_refused(&text("stride", SWAP, &client), &path, over);
        is_refused(&text("stride", "heir = \"fifo\"", &client), &path, over);
        is_refused(&text("edzl", "", &client), &path, "under edzl the cores share all clients");
        let scheduler = format!(
            "{client}\npolicy = \"fifo\"\n[[libos.clients.clients]]\nname = \"i\"\nprogram = \"spin\""
        );
        let scheduler =
            text("stride", "", &scheduler).replace("name = \"a\"\nprogram = \"spin\"", "name = \"a\"");
        is_refused(&scheduler, &path, "a client that is a scheduler");
        let inside = scheduler.replace(&client, "") + &client;
        is_refused(&inside, &format!("clients[0].clients[0].{field}"), "only a libOS's own clients");
    }
    is_refused(&text("lottery", &format!("{SWAP}\n{GOLD}"), ""), "currencies", over);
    is_refused(&text("lottery", &format!("heir = \"stride\"\n{GOLD}"), ""), "currencies", over);
}

#[test]
fn who_has_part_in_a_lock_or_a_server_stays_and_a_server_has_no_word_for_tickets() {
    let locked = |policy, libos, more: &str| text(policy, libos, &format!("{LOCK}\n{more}"));
    assert!(complaints(&locked("stride", "", "joins_ms = 300\ninflation = \"own\"")).is_empty());
    is_refused(&locked("stride", "", "leaves_ms = 300"), "clients[0].leaves_ms", "others may wait");
    let served = |more: &str| {
        let jobs = LOCK.replace("lock = \"m\"\nheld_us = 9", "server = \"s\"");
        text("stride", "", &format!("{jobs}\n{more}"))
    };
    assert!(complaints(&served("joins_ms = 300")).is_empty());
    is_refused(&served("leaves_ms = 300"), "clients[0].leaves_ms", "others may wait");
    is_refused(&served("inflation = \"own\""), "clients[0].inflation", "says nothing of tickets");
}

#[test]
fn where_there_are_currencies_nothing_is_lent() {
    let with = |libos: &str| text("lottery", &format!("{libos}{GOLD}"), LOCK);
    is_refused(&with(""), "clients[0].lock", "needs donation = \"off\"");
    is_refused(&with("donation = \"on\"\n"), "clients[0].lock", "needs donation = \"off\"");
    assert!(complaints(&with("donation = \"off\"\n")).is_empty());
    assert!(complaints(&text("lottery", "", LOCK)).is_empty());
}

#[test]
fn a_listed_job_is_not_shorter_than_it_holds_its_lock() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.txt"), "5 700\n9\n12 400\n").unwrap();
    let with = |held_us: u32| {
        let client = format!(
            "arrivals = \"trace\"\ntrace = \"a.txt\"\nbudget_us = 900\nlock = \"m\"\nheld_us = {held_us}"
        );
        let parsed = parse_changed((&text("stride", "", &client), folder.path()), &Changes::default(), None);
        parsed.map(|_| ()).map_err(|problems| render("f", &problems))
    };
    assert_eq!(with(400), Ok(()));
    let why = with(401).unwrap_err();
    assert!(
        why.contains("libos[0].clients[0].held_us: must be at most 400, the shortest job of a.txt (got 401)"),
        "{why}"
    );
}
