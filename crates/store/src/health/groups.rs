//! Whether groups count what is there, for the doctor.

use crate::engine::statements;

statements! {
    MEMBERS = "SELECT 'a group that counts other SIMs than it has' AS what, g.mode AS mode,
        g.partner_id AS partner_id, g.group_id AS id FROM sim_groups g
        WHERE g.held_count <> (SELECT COUNT(*) FROM group_members m WHERE m.mode = g.mode
            AND m.partner_id = g.partner_id AND m.group_id = g.group_id)
        OR g.sim_count <> (SELECT COUNT(*) FROM group_members m WHERE m.mode = g.mode
            AND m.partner_id = g.partner_id AND m.group_id = g.group_id
            AND m.state IN ('member', 'leaving')) LIMIT $1";
    BLOCKS = "SELECT 'a group whose pages count other SIMs than it has' AS what, g.mode AS mode,
        g.partner_id AS partner_id, g.group_id AS id FROM sim_groups g
        WHERE g.sim_count <> (SELECT COALESCE(SUM(b.sims), 0) FROM group_blocks b WHERE b.mode = g.mode
            AND b.partner_id = g.partner_id AND b.group_id = g.group_id) LIMIT $1";
    OPEN = "SELECT 'an operation that counts other SIMs as open than its parts' AS what, o.mode AS mode,
        o.partner_id AS partner_id, o.request_id AS id FROM group_operations o
        WHERE o.total - o.succeeded - o.failed - o.not_begun - o.in_review <>
            (SELECT COALESCE(SUM(c.open), 0) FROM group_chunks c WHERE c.mode = o.mode
            AND c.partner_id = o.partner_id AND c.request_id = o.request_id) LIMIT $1";
}

/// Where a group or an operation on it counts something else than there is.
pub(super) const CHECKS: [&str; 3] = [MEMBERS, BLOCKS, OPEN];
