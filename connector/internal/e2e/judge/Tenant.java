package judge;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** One object of the simulated tenant: every version that its rows ever had, and the rows that exist now. */
final class Tenant {
    /**
     * A version of a row. The row is kept as text: a log of some ten thousand parsed rows would not fit.
     *
     * @param visibleAt from when on readers see it
     * @param checked of a mark as exported: seq of the version that was shown last to who looked whether it may be marked; 0: nobody
     */
    record Version(long id, Instant updatedAt, Instant visibleAt, long seq, boolean exported, long checked, byte[] text) {
        JsonNode row() throws IOException {
            return Json.parse(new String(text, StandardCharsets.UTF_8));
        }
    }

    /** Versions by id, each list in the order in which the tenant made them. */
    final Map<Long, List<Version>> versions = new HashMap<>();

    /** The version that each existing row has now. */
    final Map<Long, Version> rows = new HashMap<>();

    /** How often each row was removed, of those that were. */
    final Map<Long, Integer> deletes = new HashMap<>();

    int versionCount;

    /** @param fields which members of a row to tell, as Coupa's parameter of that name; "" for all */
    static Tenant load(URI control, String object, String fields) throws IOException, InterruptedException {
        Tenant t = new Tenant();
        String query = "?object=" + object + (fields.isEmpty() ? "" : "&fields=" + URLEncoder.encode(fields, StandardCharsets.UTF_8));
        lines(control.resolve("/_tenant/versions" + query), v -> {
            t.versions.computeIfAbsent(v.id, id -> new ArrayList<>(1)).add(v);
            t.versionCount++;
        });
        lines(control.resolve("/_tenant/rows" + query), v -> t.rows.put(v.id, v));
        HttpRequest deletes = HttpRequest.newBuilder(control.resolve("/_tenant/deletes?object=" + object)).build();
        JsonNode removed = Json.parse(HttpClient.newHttpClient().send(deletes, HttpResponse.BodyHandlers.ofString()).body());
        removed.fieldNames().forEachRemaining(id -> t.deletes.put(Long.parseLong(id), removed.get(id).asInt()));
        for (List<Version> list : t.versions.values()) {
            list.sort((a, b) -> Long.compare(a.seq, b.seq));
        }
        return t;
    }

    private interface Sink {
        void accept(Version v);
    }

    private static void lines(URI uri, Sink sink) throws IOException, InterruptedException {
        HttpRequest request = HttpRequest.newBuilder(uri).build();
        var response = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofInputStream());
        if (response.statusCode() != 200) {
            throw new IOException(uri + " answered " + response.statusCode());
        }
        try (var in = new BufferedReader(new InputStreamReader(response.body(), StandardCharsets.UTF_8))) {
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                if (!line.isBlank()) {
                    sink.accept(version(line));
                }
            }
        }
    }

    private static Version version(String line) throws IOException {
        JsonNode n = Json.parse(line);
        Instant at = OffsetDateTime.parse(n.get("updated_at").asText()).toInstant();
        Instant visible = n.has("visible_at") ? OffsetDateTime.parse(n.get("visible_at").asText()).toInstant() : at;
        boolean exported = n.get("row").path("exported").asBoolean();
        byte[] row = n.get("row").toString().getBytes(StandardCharsets.UTF_8);
        return new Version(n.get("id").asLong(), at, visible, n.path("seq").asLong(), exported, n.path("checked").asLong(), row);
    }
}
