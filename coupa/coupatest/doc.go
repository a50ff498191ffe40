// Package coupatest is a simulated Coupa tenant: an HTTP server that answers
// the part of Coupa's Core API that a change stream reads, keeps changing its
// rows, misbehaves on request, and remembers every version it ever had, so that
// a reader can be judged against the truth.
//
// It is used three ways: as the live tenant behind a demo, in process by unit
// tests (it reads time only from package time, so it works inside a
// testing/synctest bubble; [Tenant.Transport] needs no socket), and over HTTP by
// a harness in another process, through the control paths under /_tenant/.
//
// # What is served
//
//   - POST /oauth2/token, client credentials in the form or by Basic.
//   - GET /api/<resource> and /api/<resource>/<id> for the seven resources of
//     [Resources]; PUT /api/<resource>/<id>?exported=true marks a row, with the scope to write.
//   - GET /api/<parent>/<id>/<name> for collections below those of another one, where
//     Config.Objects names them.
//   - Pages of at most 50 rows, in JSON when Accept asks for it, else XML.
//   - limit, offset, order_by, dir, fields, and conditions on any attribute with
//     Coupa's operators, also through associations
//     (order_lines[updated_at][gt_or_eq]=…). Conditions are ANDed and a page is
//     read in one instant, as one SQL statement would be. Conditions on one
//     association must hold for one and the same member of it.
//
// # How it misbehaves by nature
//
// As the real one: stamps are whole seconds in the company's zone, so the offset
// changes with daylight saving inside one payload, while some nested objects
// answer in Z; decimals are strings, floats are numbers; calendar dates are the
// company's midnight; a member without a value is absent, null, "" or [];
// lines are stamped up to two seconds after their header, and a change of a line
// alone leaves the header's stamp where it was; a row may become visible after
// the second it is stamped with; rows with the same updated-at come in any order
// when a request orders by it. Payloads without `fields` carry references in
// full and custom fields of the global namespace at the top level.
//
// What it does wrong only when told to is a [Fault]; with Config.RepeatParents it answers a condition on
// lines with a row once for each line that fits, with Config.CollapseParents it counts those lines for the
// limit and shows the row once; Config.MaxLine and Config.MaxRows are gateways' bounds; with Config.Clocks,
// clocks of its servers differ; with Config.MarksStamp a mark moves updated-at. Rows are
// removed, come back, and are hidden (Delete, Undelete, Hide, Rewind). Of single rows, LeaveOut, Fail and
// Undate make it answer as no documentation says.
//
// # Rows
//
// A row's content is a function of (Config.Seed, resource, id, version) and of
// its stamps: two tenants with one seed and one Config.Epoch serve the same
// bytes. The tables of fields per object stand in shapes.json.
package coupatest
