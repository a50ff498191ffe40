import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;

/** Runs files of SQL, as Flink's SQL client does, and prints the last row of each query: Flink FILE… */
public class Flink {
    public static void main(String[] files) throws Exception {
        var configuration = new Configuration();
        configuration.setString("parallelism.default", "1");
        configuration.setString("table.local-time-zone", "UTC");
        var tables = TableEnvironment.create(EnvironmentSettings.newInstance().inStreamingMode().withConfiguration(configuration).build());
        for (String file : files)
            for (String statement : Files.readString(Path.of(file)).split(";\\s*\\n")) {
                if (statement.isBlank()) continue;
                if (!statement.startsWith("select")) {
                    tables.executeSql(statement);
                    continue;
                }
                // On a slow machine a job may end before its last row was fetched, which Flink warns of; so a query is asked until two answers are the same.
                String last = last(tables, statement), before = null;
                for (int i = 0; i < 5 && (last == null || !last.equals(before)); i++) {
                    before = last;
                    last = last(tables, statement);
                }
                System.out.println(last);
            }
    }

    private static String last(TableEnvironment tables, String query) throws Exception {
        String last = null;
        try (var rows = tables.executeSql(query).collect()) {
            while (rows.hasNext()) {
                var field = rows.next().getField(0);
                if (field != null) last = field.toString();
            }
        }
        return last;
    }
}
