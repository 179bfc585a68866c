package ringall;

import java.time.Duration;
import java.util.Properties;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.CloseOptions;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.state.Stores;

/**
 * `RingAll BOOTSTRAP APPLICATION INPUT OUTPUT`: the ring-all job, exactly once, one thread, state in memory and in a changelog of its own.
 * Its folder is the current one.
 */
public final class RingAll {
    private RingAll() { }

    public static void main(String[] arguments) {
        KafkaStreams streams = new KafkaStreams(topology(arguments[2], arguments[3]), settings(arguments));
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            return StreamThreadExceptionResponse.SHUTDOWN_APPLICATION;
        });
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.RUNNING) { // what was stored is restored
                System.out.println("ready");
            }
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(
            CloseOptions.timeout(Duration.ofSeconds(5)).withGroupMembershipOperation(CloseOptions.GroupMembershipOperation.LEAVE_GROUP)
        ))); // so that a restart need not wait for the end of this one's session
        streams.start();
    }

    private static Topology topology(String input, String output) {
        Topology topology = new Topology();
        topology.addSource("events", new ByteArrayDeserializer(), new LegEvent.Reader(), input);
        topology.addProcessor("verdicts", Verdicts::new, "events");
        topology.addStateStore(
            Stores.keyValueStoreBuilder(
                Stores.inMemoryKeyValueStore(Verdicts.CALLS),
                Serdes.ByteArray(),
                Serdes.serdeFrom(new Call.Writer(), new Call.Reader())
            ).withCachingEnabled(), // one changelog record per touched key and commit
            "verdicts");
        topology.addSink("legs", output, new ByteArraySerializer(), new ByteArraySerializer(), "verdicts");
        return topology;
    }

    /** Tuned: commits and batches as large as those of the others, a cache that holds every open call. */
    private static Properties settings(String[] arguments) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments[1]);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, "streams");
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 256L << 20);
        settings.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 5_000);
        settings.put("consumer.auto.offset.reset", "earliest");
        settings.put("consumer.max.poll.records", 5_000);
        settings.put("producer.batch.size", 256 << 10);
        settings.put("producer.linger.ms", 100);
        return settings;
    }
}
