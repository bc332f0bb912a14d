// franz-go as a peer of the tests: what klamm wrote is read by it, what it writes is read by klamm, and it joins klamm's groups.
// Commands and lines are those of real/java/Peer.java:
//
//	franz-peer read BOOTSTRAP TOPIC,TOPIC [read_committed]   every record up to the ends as they are now, as JSON lines
//	franz-peer write BOOTSTRAP TOPIC CODEC[,CODEC]           records from standard input, prints where each is
//	franz-peer member BOOTSTRAP GROUP TOPIC,TOPIC STRATEGY   a member of a group until its standard input ends
//	franz-peer version
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"runtime/debug"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A record in JSON: bytes are base64, which is how Go writes []byte, and null is nil.
type line struct {
	Topic     string  `json:"topic,omitempty"`
	Partition *int32  `json:"partition"`
	Offset    int64   `json:"offset"`
	Timestamp *int64  `json:"timestamp"`
	Key       []byte  `json:"key"`
	Value     []byte  `json:"value"`
	Headers   [][]any `json:"headers"`
}

var (
	out  = bufio.NewWriter(os.Stdout)
	lock sync.Mutex // callbacks have a goroutine of their own
)

func say(value any) {
	text, err := json.Marshal(value)
	check(err)
	lock.Lock()
	defer lock.Unlock()
	out.Write(text)
	out.WriteByte('\n')
}

func tell(format string, values ...any) {
	lock.Lock()
	defer lock.Unlock()
	fmt.Fprintf(out, format+"\n", values...)
	out.Flush()
}

func flush() {
	lock.Lock()
	defer lock.Unlock()
	out.Flush()
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func client(bootstrap string, options ...kgo.Opt) *kgo.Client {
	options = append(options, kgo.SeedBrokers(strings.Split(bootstrap, ",")...), kgo.ClientID("franz-peer"))
	client, err := kgo.NewClient(options...)
	check(err)
	return client
}

func asLine(record *kgo.Record) line {
	timestamp := record.Timestamp.UnixMilli()
	headers := make([][]any, 0, len(record.Headers))
	for _, header := range record.Headers {
		headers = append(headers, []any{header.Key, header.Value})
	}
	return line{record.Topic, &record.Partition, record.Offset, &timestamp, record.Key, record.Value, headers}
}

// The number of partitions of each topic.
func partitions(client *kgo.Client, topics []string) map[string]int {
	request := kmsg.NewPtrMetadataRequest()
	for _, topic := range topics {
		asked := kmsg.NewMetadataRequestTopic()
		asked.Topic = kmsg.StringPtr(topic)
		request.Topics = append(request.Topics, asked)
	}
	response, err := request.RequestWith(context.Background(), client)
	check(err)
	found := make(map[string]int)
	for _, topic := range response.Topics {
		check(kerr.ErrorForCode(topic.ErrorCode))
		found[*topic.Topic] = len(topic.Partitions)
	}
	return found
}

// The ends of all partitions of these topics that hold something.
func ends(client *kgo.Client, counts map[string]int) map[string]map[int32]int64 {
	request := kmsg.NewPtrListOffsetsRequest()
	for topic, count := range counts {
		asked := kmsg.NewListOffsetsRequestTopic()
		asked.Topic = topic
		for number := range count {
			partition := kmsg.NewListOffsetsRequestTopicPartition()
			partition.Partition, partition.Timestamp = int32(number), -1
			asked.Partitions = append(asked.Partitions, partition)
		}
		request.Topics = append(request.Topics, asked)
	}
	response, err := request.RequestWith(context.Background(), client)
	check(err)
	found := make(map[string]map[int32]int64)
	for _, topic := range response.Topics {
		found[topic.Topic] = make(map[int32]int64)
		for _, partition := range topic.Partitions {
			check(kerr.ErrorForCode(partition.ErrorCode))
			if partition.Offset > 0 {
				found[topic.Topic][partition.Partition] = partition.Offset
			}
		}
	}
	return found
}

func read(bootstrap string, topics []string, isolation string) {
	asking := client(bootstrap)
	left := ends(asking, partitions(asking, topics))
	asking.Close()
	start := make(map[string]map[int32]kgo.Offset)
	open := 0
	for topic, ends := range left {
		start[topic] = make(map[int32]kgo.Offset)
		for partition := range ends {
			start[topic][partition] = kgo.NewOffset().AtStart()
			open++
		}
	}
	options := []kgo.Opt{kgo.ConsumePartitions(start)}
	if isolation == "read_committed" {
		options = append(options, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	reading := client(bootstrap, options...)
	for open > 0 {
		fetches := reading.PollFetches(context.Background())
		check(fetches.Err())
		fetches.EachPartition(func(fetched kgo.FetchTopicPartition) {
			for _, record := range fetched.Records {
				end, wanted := left[record.Topic][record.Partition]
				if !wanted || record.Offset >= end {
					continue
				}
				say(asLine(record))
				if record.Offset == end-1 {
					delete(left[record.Topic], record.Partition)
					open--
				}
			}
		})
	}
	reading.Close()
}

func write(bootstrap, topic string, codecs []string) {
	known := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	var producers []*kgo.Client
	for _, codec := range codecs {
		found, ok := known[codec]
		if !ok {
			log.Fatalf("unknown codec %q", codec)
		}
		producers = append(producers, client(bootstrap, kgo.ProducerBatchCompression(found), kgo.ProducerLinger(20*time.Millisecond),
			kgo.RecordPartitioner(kgo.ManualPartitioner())))
	}
	var records []*kgo.Record
	input := bufio.NewReader(os.Stdin)
	for {
		text, err := input.ReadBytes('\n')
		if err == io.EOF {
			break
		}
		check(err)
		var from line
		check(json.Unmarshal(text, &from))
		record := &kgo.Record{Topic: topic, Partition: *from.Partition, Key: from.Key, Value: from.Value}
		if from.Topic != "" {
			record.Topic = from.Topic
		}
		if from.Timestamp != nil {
			record.Timestamp = time.UnixMilli(*from.Timestamp)
		}
		for _, header := range from.Headers {
			record.Headers = append(record.Headers, kgo.RecordHeader{Key: header[0].(string), Value: fromJSON(header[1])})
		}
		at := 0
		if len(producers) > 1 {
			at = int(record.Partition)
		}
		producers[at].Produce(context.Background(), record, nil)
		records = append(records, record)
	}
	for _, producer := range producers {
		check(producer.Flush(context.Background()))
		producer.Close()
	}
	for _, record := range records {
		say(map[string]int64{"partition": int64(record.Partition), "offset": record.Offset})
	}
}

// Bytes that json.Unmarshal left as a text in base64, or as nil.
func fromJSON(value any) []byte {
	text, err := json.Marshal(value)
	check(err)
	var found []byte
	check(json.Unmarshal(text, &found))
	return found
}

func names(partitions map[string][]int32) []string {
	var all []string
	for topic, numbers := range partitions {
		for _, number := range numbers {
			all = append(all, fmt.Sprintf("%s-%d", topic, number))
		}
	}
	sort.Strings(all)
	return all
}

func member(bootstrap, group string, topics []string, strategies []string) {
	known := map[string]kgo.GroupBalancer{
		"range": kgo.RangeBalancer(), "roundrobin": kgo.RoundRobinBalancer(), "cooperative-sticky": kgo.CooperativeStickyBalancer(),
	}
	var balancers []kgo.GroupBalancer
	for _, strategy := range strategies {
		found, ok := known[strategy]
		if !ok {
			log.Fatalf("unknown strategy %q", strategy)
		}
		balancers = append(balancers, found)
	}
	owned := make(map[string]bool)
	ownedNames := func() string {
		var all []string
		for name := range owned {
			all = append(all, name)
		}
		sort.Strings(all)
		return strings.Join(all, " ")
	}
	lost := func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
		gone := names(partitions)
		for _, name := range gone {
			delete(owned, name)
		}
		tell("revoked %s", strings.Join(gone, " "))
	}
	joined := client(bootstrap,
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(topics...), kgo.Balancers(balancers...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(), // no partition goes between a record's line and its commit
		kgo.SessionTimeout(10*time.Second), kgo.HeartbeatInterval(500*time.Millisecond), kgo.FetchMaxWait(200*time.Millisecond),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
			added := names(partitions)
			for _, name := range added {
				owned[name] = true
			}
			tell("assigned %s owned %s", strings.Join(added, " "), ownedNames())
		}),
		kgo.OnPartitionsRevoked(lost), kgo.OnPartitionsLost(lost),
	)
	ctx, end := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		end()
	}()
	for ctx.Err() == nil {
		fetches := joined.PollFetches(ctx)
		if ctx.Err() == nil {
			check(fetches.Err())
		}
		seen := 0
		fetches.EachRecord(func(record *kgo.Record) {
			say(asLine(record))
			seen++
		})
		flush()
		if seen > 0 {
			check(joined.CommitUncommittedOffsets(context.Background()))
		}
		joined.AllowRebalance()
	}
	joined.CloseAllowingRebalance()
	tell("closed")
}

func version() string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == "github.com/twmb/franz-go" {
			return strings.TrimPrefix(module.Version, "v")
		}
	}
	return "unknown"
}

func main() {
	log.SetFlags(0)
	words := append(os.Args[1:], "", "", "", "", "")
	list := func(text string) []string { return strings.Split(text, ",") }
	switch words[0] {
	case "read":
		read(words[1], list(words[2]), words[3])
	case "write":
		write(words[1], words[2], list(words[3]))
	case "member":
		member(words[1], words[2], list(words[3]), list(words[4]))
	case "version":
		tell("%s", version())
	default:
		log.Fatalf("unknown command %q", words[0])
	}
	flush()
}
