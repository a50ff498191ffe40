package judge;

import java.net.URI;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Compares what a Coupa instance went through with what a read_committed consumer finds in the topics.
 *
 * <p>Nothing here is coupastream's own: the consumer is Apache Kafka's, the decoder Apache Avro's, the schema is the one that
 * the registry gives for the id in each record. It wants a tenant that rests: pause its writers and wait until the connector
 * has caught up, or a row on its way counts as lost.
 *
 * <pre>
 * Judge --bootstrap HOST:PORT --registry URL --tenant NAME --control URL
 *       [--fields schema|all] [--since RFC3339] [--poll-ms N] [--select OBJECT=FIELDS ...] [--marked OBJECT ...] OBJECT=TOPIC ...
 *       [--checkpoints TOPIC --kept-ms N [--letters TOPIC]] [--isolation read_uncommitted]
 * </pre>
 *
 * <p>FIELDS is the value of Coupa's parameter of that name with which the connector asks for an object: what Coupa answers without it
 * is cut short in deep associations, so the tenant is asked for its versions in the same way.
 *
 * <p>--marked names an object of which the connector reads rows without the exported flag alone, and sets it on what it has published.
 * <p>With the checkpoint topic, the transactions are judged too. Rows that were published within so many milliseconds of their
 * updated-at are to be in its ledger. A row of it that is a dead letter need not be in its object's topic, if a later version of it
 * is. Another isolation level is what the judge is to be caught with.
 *
 * <p>Prints one line of JSON per object on stdout. Exit status: 0 nothing wrong, 1 something is, 2 wrong usage.
 */
public final class Judge {
    private final Map<String, String> options = new HashMap<>(Map.of("fields", "schema", "poll-ms", "1000", "isolation", "read_committed", "kept-ms", "0"));
    private final Map<String, String> topics = new LinkedHashMap<>();
    private final Map<String, String> selections = new HashMap<>();
    private final Set<String> marked = new HashSet<>();

    public static void main(String[] args) throws Exception {
        Judge judge = new Judge();
        List<String> missing = judge.parse(args);
        if (!missing.isEmpty()) {
            System.err.println("judge: missing " + String.join(", ", missing) + "; see the head of Judge.java");
            System.exit(2);
        }
        System.exit(judge.run() ? 0 : 1);
    }

    private List<String> parse(String[] args) {
        for (int i = 0; i < args.length; i++) {
            if (args[i].equals("--select") && i + 1 < args.length) {
                pair(args[++i], selections);
            } else if (args[i].equals("--marked") && i + 1 < args.length) {
                marked.add(args[++i]);
            } else if (args[i].startsWith("--") && i + 1 < args.length) {
                options.put(args[i].substring(2), args[++i]);
            } else {
                pair(args[i], topics);
            }
        }
        List<String> missing = new ArrayList<>();
        for (String name : List.of("bootstrap", "registry", "tenant", "control")) {
            if (!options.containsKey(name)) {
                missing.add("--" + name);
            }
        }
        if (topics.isEmpty()) {
            missing.add("OBJECT=TOPIC");
        }
        return missing;
    }

    private static void pair(String arg, Map<String, String> into) {
        String[] pair = arg.split("=", 2);
        if (pair.length == 2) {
            into.put(pair[0], pair[1]);
        }
    }

    private boolean run() throws Exception {
        Registry registry = new Registry(options.get("registry"));
        Values values = new Values(options.get("fields").equals("all"));
        Instant since = Instant.parse(options.getOrDefault("since", "9999-01-01T00:00:00Z"));
        Duration unseen = Duration.ofMillis(3 * Long.parseLong(options.get("poll-ms")));
        boolean clean = true;
        String bootstrap = options.get("bootstrap");
        String checkpoints = options.get("checkpoints");
        Positions positions = new Positions(options.get("tenant"));
        Transactions transactions = new Transactions();
        if (checkpoints != null) {
            transactions.read(bootstrap, checkpoints);
            Topic.read(bootstrap, checkpoints, options.get("isolation"), positions::record);
            if (options.containsKey("letters")) {
                Topic.read(bootstrap, options.get("letters"), options.get("isolation"), r -> positions.letter(r, (Long) registry.decode(r.key()).get("id")));
            }
        }
        for (Map.Entry<String, String> e : topics.entrySet()) {
            Tenant tenant = Tenant.load(URI.create(options.get("control")), e.getKey(), selections.getOrDefault(e.getKey(), ""));
            Verdict verdict = new Verdict(options.get("tenant"), e.getKey(), e.getValue(), tenant, marked.contains(e.getKey()), registry, values);
            if (checkpoints != null) {
                transactions.read(bootstrap, e.getValue());
                verdict.judgeTransactions(positions.of(e.getKey()), transactions, Duration.ofMillis(Long.parseLong(options.get("kept-ms"))));
            }
            Topic.read(bootstrap, e.getValue(), options.get("isolation"), verdict::record);
            verdict.close(since, unseen);
            System.out.println(verdict.json());
            clean &= verdict.clean();
        }
        return clean;
    }
}
