// Written by `python -m rlhf_demo.cli.types` out of server/payloads.py.

export type Columns = Record<string, (number | null)[]>;

export interface BoardRun {
  id: string;
  title: string;
  kind: string;
  status: string;
  message: string;
  step: number | null;
  total_steps: number | null;
  place: number | null;
  created_at: string;
  ended_at: string | null;
  example: boolean;
  of_class: boolean;
  experiment: string;
  seconds_left: number | null;
  figures: Record<string, number>;
  command: string;
  mine?: boolean;
}

export interface ListedRun {
  id: string;
  title: string;
  kind: string;
  status: string;
  place: number | null;
  step: number | null;
  total_steps: number | null;
  created_at: string;
  example: boolean;
  of_class: boolean;
  figures: ([string, string, string])[];
}

export interface ChangedSetting {
  name: string;
  value: string;
  default: string;
  meaning: string;
}

export interface PickedRun {
  id: string;
  title: string;
  kind: string;
  status: string;
  message: string;
  example: boolean;
  mine: boolean;
  damaged: boolean;
  has_board?: boolean;
  has_model?: boolean;
  result?: string;
  settings?: ChangedSetting[];
  command?: string;
  log?: string;
}

export interface DeletedRun {
  deleted: boolean;
  needed_by: string[];
}

export interface RunsState {
  runs: ListedRun[];
  picked: PickedRun | null;
}

export interface RunCurves {
  id: string;
  curves: Record<string, ([number, number])[]>;
}

export interface StripStage {
  tab: string;
  title: string;
  line: string;
  state: string;
  run: string;
}

export interface StripState {
  stages: StripStage[];
  note: string | null;
  start: string | null;
}

export interface Scale {
  mean: number;
  std: number;
}

export interface RewardScales {
  reward: Scale;
}

export interface SampleRow {
  step: number;
  prompt: string;
  response: string;
  score: number;
  token: string[];
  log_ratio?: number[];
}

export interface StepTexts {
  step: number;
  rows: SampleRow[];
  left_out: string;
}

export interface InsideStep {
  step: number;
  details: StepDetails | null;
}

export interface StepDetails {
  scores: ScoreHistogram;
  ratio: (number[])[];
  words: PushedWords;
  values: ([number, number])[] | null;
  figures: Record<string, number | (number | null)[] | null>;
  clip_range: number;
}

export interface ScoreHistogram {
  middles: number[];
  width: number;
  then: number[];
  now: number[];
  first: number;
}

export interface PushedWords {
  up: ([string, number, number])[];
  down: ([string, number, number])[];
  steps: number;
  fewest: number;
}

export interface Labelled {
  id: string;
  label: string;
}

export interface Line {
  y: number;
  label: string;
  dash?: string;
  color?: string;
  left?: boolean;
}

export interface RunState {
  run: BoardRun;
  created: string;
  lines: Record<string, Line[]>;
  figures: ([string, string])[];
  story: Record<string, string>;
  sample_steps: number[];
  texts_problem: string;
  inside_step: number;
  scale: Scale | null;
  clip_range: number | null;
  judge: Record<string, string> | null;
  result: string;
  model_step: number;
  has_model: boolean;
  runs: Labelled[];
}

export interface BoardState {
  run: BoardRun;
  created: string;
  lines: Record<string, Line[]>;
  figures: ([string, string])[];
  story: Record<string, string>;
  sample_steps: number[];
  texts_problem: string;
  inside_step: number;
  scale: Scale | null;
  clip_range: number | null;
  judge: Record<string, string> | null;
  result: string;
  model_step: number;
  has_model: boolean;
  runs: Labelled[];
  since: number;
  columns: Record<string, (number | null)[]>;
  texts: StepTexts | null;
  inside: InsideStep | null;
  log: string;
  ask_again: number;
}

export interface TryLater {
  error: string;
  later: boolean;
}

export interface ListedExperiment {
  id: string;
  title: string;
  change: string;
  question: string;
  answers: string[];
  yardstick: string;
}

export interface ExperimentState {
  run: RunRow | null;
  answer: number | null;
  measured: string;
}

export interface RunRow {
  id: string;
  title: string;
  kind: string;
  status: string;
  message: string;
  step: number | null;
  total_steps: number | null;
  place: number | null;
  created_at: string;
  ended_at: string | null;
  example: boolean;
  of_class: boolean;
  experiment: string;
  seconds_left: number | null;
  figures: Record<string, number>;
}

export interface OveroptimisationState {
  run: BoardRun | null;
  runs: Labelled[];
  study: Study | null;
  phase: string;
  ask_again: number;
}

export interface Study {
  pairs: number;
  seeds: number;
  batch_size: number;
  judge: string;
  accuracy: number | null;
  ppo: StudiedWay;
  best_of_n: StudiedWay;
  texts: Text[];
}

export interface StudiedWay {
  proxy: DrawnGains;
  judge: DrawnGains;
  words: string;
}

export interface DrawnGains {
  points: ([number, number])[];
  line: ([number, number])[];
  fitted: boolean;
}

export interface Text {
  step: number;
  prompt: string;
  response: string;
}

export interface DuelSide {
  token: string[];
  done: boolean;
  ended: boolean;
  prompt_cut: boolean;
  logprob: number[] | null;
  kl: number[] | null;
  log_ratio: number[] | null;
  value: number[] | null;
  score_if_ended: number[] | null;
  score: number | null;
}

export interface DuelState {
  left: DuelSide;
  right: DuelSide;
  parting: number | null;
  finished: boolean;
}

export interface RunDuel {
  state: DuelState | null;
  settings?: Record<string, any>;
  step?: number;
  later?: boolean;
}

export interface ShownRecord {
  id?: string;
  date?: string;
  example?: boolean;
  error?: string;
  settings?: Record<string, any>;
  state?: DuelState | null;
  report?: Record<string, any>;
}

export interface BestOfSettings {
  model: Named;
  scorer: NamedScorer;
  prompt: string;
  best_of: number;
  max_new_tokens: number;
  temperature: number;
  seed: number;
}

export interface Named {
  id: string;
  name: string;
}

export interface NamedScorer {
  id: string;
  name: string;
  unit: string;
}

export interface ScoredResponse {
  text: string;
  score: number;
}

export interface BestOfState {
  settings: BestOfSettings;
  responses: ScoredResponse[];
  best: number | null;
  median: number | null;
  worst: number | null;
  kl_bound: number;
  expected: number[];
  finished: boolean;
}

export interface NextPair {
  assignment: ShownAssignment | null;
  message?: string;
}

export interface ShownAssignment {
  id: number;
  question: string;
  prompt: string;
  left: string;
  right: string;
  written: string | null;
}

export interface PageWinRate {
  rate: number | null;
  low: number;
  high: number;
  votes: number;
  pairs: number;
  wins: number;
  losses: number;
  ties: number;
  both_bad: number;
  earlier: number;
}

export interface NextFour {
  assignment: ShownFour | null;
  message?: string;
}

export interface ShownFour {
  id: number;
  question: string;
  prompt: string;
  texts: string[];
}

export interface QualityState {
  question: string;
  votes: number;
  voters: number;
  preferences: number;
  together: number;
  rankings: number;
  rankings_together: number;
  simulated: number;
  quality: Quality;
  careless: VoterRow[];
}

export interface Quality {
  votes: number;
  ties: Share;
  left: Share;
  alpha: number | null;
  self_agreement: Share;
  caught: Share;
  with_others: Share;
  highest_accuracy: number | null;
  simulated?: number;
}

export interface Share {
  share: number | null;
  low: number;
  high: number;
  count: number;
  units: number;
}

export interface VoterRow {
  voter: number;
  simulated: boolean;
  left_out: boolean;
  votes: number;
  ties: Share;
  left: Share;
  self_agreement: Share;
  caught: Share;
  with_others: Share;
  seconds: number | null;
  careless: string[];
  nickname?: string;
}

export interface RewardAnswer {
  report: RewardReport | null;
  people: number | null;
  votes: VoteFacts | null;
  rater: string;
}

export interface RewardReport {
  accuracy: number;
  accuracy_low: number;
  accuracy_high: number;
  watched_low: number;
  watched_high: number;
  pairs: number;
  different_pairs: number;
  loss: number;
  baseline_length: number;
  baseline_side: string;
  stated: number;
  score_std: number;
  reliability: ReliabilityRow[];
  margin_quartiles: QuartileRow[];
  most_wrong: WrongPair[];
  score_mean?: number;
  train_pairs?: number;
  dropped?: Record<string, number>;
  cut?: number;
}

export interface ReliabilityRow {
  low: number;
  high: number;
  predicted: number;
  observed: number;
  observed_low: number;
  observed_high: number;
  pairs: number;
}

export interface QuartileRow {
  low: number;
  high: number;
  accuracy: number;
  accuracy_low: number;
  accuracy_high: number;
  pairs: number;
}

export interface WrongPair {
  prompt: string;
  chosen: string;
  rejected: string;
  margin: number;
}

export interface VoteFacts {
  questions: string[];
  votes: number;
  rankings?: number;
  voters: number;
  simulated: number;
  held_out: number;
  held_out_pairs: number;
  held_out_rankings?: number;
  too_few_to_tell: boolean;
  foretold: Share;
  highest_accuracy: number | null;
}

export interface ExampleJudge {
  id: string;
  name: string;
  unit: string;
  title: string;
  note: string;
  wins: number;
  ties: number;
  losses: number;
  win_rate: number;
  win_rate_low: number;
  win_rate_high: number;
}

export interface LoopExample {
  prompts: number;
  judges: ExampleJudge[];
  rows: ComparedRow[];
}

export interface ComparedRow {
  prompt: string;
  responses: string[];
  scores: (number[])[];
}

export interface StudentPPO {
  status: string;
  busy: boolean;
  step: number;
  total_steps: number | null;
  score: number | null;
  kl: number | null;
}

export interface BoardText {
  id: number;
  text: string;
  score: number;
}

export interface TriedText {
  score: number;
  best: BoardText;
}

export interface ClassLesson {
  id: string;
  title: string;
  before: string;
  question: string;
  answers: string[];
  came: number | null;
  result: string;
  counts: number[] | null;
  tries: BoardText[] | null;
}

export interface StudentLesson {
  id: string;
  title: string;
  before: string;
  question: string;
  answers: string[];
  came: number | null;
  result: string;
  counts: number[] | null;
  tries: BoardText[] | null;
  said: number | null;
}

export interface StudentState {
  state: string;
  round: number;
  kind: string;
  round_state: string;
  question: string;
  nickname: string;
  votes: number;
  done: number;
  result: BlindResult | null;
  code: string;
  goal: number;
  ppo: StudentPPO | null;
  lesson: StudentLesson | null;
}

export interface BlindResult {
  revealed: boolean;
  votes: number;
  simulated: number;
  pairs: number;
  rate?: number | null;
  low?: number;
  high?: number;
  wins?: number;
  losses?: number;
  ties?: number;
  both_bad?: number;
  series?: ([number, number | null])[];
  a?: string;
  b?: string;
  contender?: string;
}

export interface TrainingReward {
  run: string;
  round: number;
  votes: number;
  simulated?: number;
  question?: string;
  row: RunRow | null;
}

export interface Coming {
  seconds: number;
  counts: number[];
}

export interface ClassState {
  state: string;
  round: number;
  kind: string;
  round_state: string;
  question: string;
  collection: number;
  code: string;
  overlap: number;
  clean_words: boolean;
  door_open: boolean;
  most_joins: number;
  votes: number;
  written: number;
  seats_left: number;
  voters: Student[];
  each: number;
  expected: number;
  all_votes: number;
  preferences: number;
  coming: Coming;
  simulated: number;
  quality: Quality;
  careless: VoterRow[];
  history: TrainedReward[];
  reward: string | null;
  training: TrainingReward | null;
  problem: string | null;
  ppo: RunRow | null;
  blind: BlindResult | null;
  simulation: Simulation | null;
  lesson: ClassLesson | null;
}

export interface Student {
  voter: number;
  nickname: string;
  simulated: boolean;
  left_out: boolean;
  votes: number;
  last_seen: number;
  place: number | null;
}

export interface TrainedReward {
  run: string;
  round: number;
  votes: number;
  simulated?: number;
  question?: string;
  accuracy: number;
  low: number;
  high: number;
  pairs: number;
  highest: number | null;
  too_few: boolean;
}

export interface Simulation {
  students: number;
  taste: string;
  noise: number;
  careless_share: number;
}

export interface ListedLesson {
  id: string;
  title: string;
  minutes: number;
  core: boolean;
  before: string;
  question: string;
  answers: string[];
  sentence: string;
  code: string;
  test: string;
  caveat: string;
}

export interface LessonTypes {
  outcome: Outcome;
  code: LessonCode;
  next_token: NextTokenLook;
  attention: AttentionLook;
  heads_off: HeadsOffLook;
  tokens: TokensLook;
  vectors: VectorsLook;
  loss: LossLook;
  layers: LayersLook;
  votes: VotesLook;
  reward_head: RewardHeadLook;
  ppo_step: PPOStepLook;
  agent: AgentLook;
  leash: LeashLook;
  changed: ChangedLook;
  alternatives: AlternativesLook;
  uses: UsesLook;
  word_scores: WordScoresLook;
}

export interface Outcome {
  answer: number;
  result: string;
}

export interface LessonCode {
  file: string;
  line: number;
  source: string;
}

export interface NextTokenLook {
  text: string;
  model: string;
  logits: number[];
  tokens: string[];
}

export interface AttentionLook {
  text: string;
  model: string;
  pieces: string[];
  patterns: (((number[])[])[])[];
  row: HeadRow;
}

export interface HeadRow {
  layer: number;
  head: number;
  place: number;
  width: number;
  dot_products: number[];
  scaled: number[];
  weights: number[];
}

export interface HeadsOffLook {
  text: string;
  model: string;
  word: string;
  heads: number[];
  feed_forward: number[];
  tokens: string[];
  before: number[];
  after: number[];
  alone: (number[])[] | null;
  loss_before: number;
  loss_after: number;
}

export interface TokensLook {
  text: string;
  ids: number[];
  pieces: string[];
  words: number;
  vocabulary: number;
}

export interface VectorsLook {
  word: string;
  vector: number[];
  cosines: number[];
  tokens: string[];
  unchanged: boolean;
  learned: (number[])[];
  sinusoids: (number[])[];
  without: PositionsOff[] | null;
}

export interface PositionsOff {
  text: string;
  losses: number[];
  losses_off: number[];
}

export interface LossLook {
  text: string;
  pieces: string[];
  surprises: (number[])[];
  losses: number[];
  nothing: number;
  examples: ExampleText[] | null;
  taught: Taught | null;
}

export interface ExampleText {
  name: string;
  text: string;
  losses: number[];
}

export interface Taught {
  losses: number[];
  examples: number[];
}

export interface LayersLook {
  text: string;
  pieces: string[];
  place: number;
  tokens: string[];
  readings: Reading[];
}

export interface Reading {
  model: string;
  top: (number[])[];
  shares: (number[])[];
  attention: number[];
  feed_forward: number[];
  units: Unit[];
}

export interface Unit {
  unit: number;
  activation: number;
  tokens: string[];
}

export interface VotesLook {
  pairs: VotePair[];
  votes: string[];
  result: HeadResult | null;
}

export interface VotePair {
  prompt: string;
  a: string;
  b: string;
}

export interface HeadResult {
  right: number;
  of: number;
  low: number;
  high: number;
  agree: number;
  probabilities: number[];
  shipped: number;
}

export interface RewardHeadLook {
  text: string;
  pieces: string[];
  running: number[];
  depths: number[];
  score: number;
  surprise: number;
}

export interface PPOStepLook {
  run: string;
  step: number;
  steps: number;
  sample: number;
  samples: number;
  prompt: string;
  score: number;
  tokens: string[];
  reward: number[];
  value: number[];
  advantage: number[];
  ratio: number[];
  asked: number;
  stopped: boolean[];
  clipped: boolean[];
  clip_range: number;
}

export interface AgentLook {
  starts: string[];
  start: number;
  moves: number[];
  pieces: string[];
  choices: Move[];
  left: number;
  score: number | null;
  ppo_text: string;
  ppo_score: number | null;
}

export interface Move {
  token: number;
  piece: string;
  share: number;
}

export interface LeashLook {
  text: string;
  study: Study;
  tokens: string[];
  reference: number[];
  scores: number[];
}

export interface ChangedLook {
  text: string;
  pieces: string[];
  layers: number[];
  part: string;
  moved: (number[])[];
  alone: number[];
  all: number;
  chosen: number;
  log_ratios: number[];
  tokens: string[];
  base: number[];
  ppo: number[];
  mixed: number[];
}

export interface AlternativesLook {
  judge: string;
  arms: ([string, string])[];
  levels: Level[];
}

export interface Level {
  kl: number;
  wins: Record<string, Interval>;
  meetings: Meeting[];
  sentence: string;
}

export interface Interval {
  mean: number;
  low: number;
  high: number;
}

export interface Meeting {
  mean: number;
  low: number;
  high: number;
  kl: number;
  arms: [string, string];
  tie: boolean;
}

export interface UsesLook {
  error_rates: number[];
  agreement: number[];
  ceiling: number[];
}

export interface WordScoresLook {
  text: string;
  words: WordCredit[];
  score: number;
  empty: number;
  orders: number;
  exact: boolean;
  standard_error: number;
  words_together: number;
}

export interface WordCredit {
  piece: string;
  running: number;
  left_out: number;
  shapley: number;
}

export interface TraceSettings {
  kl_coef: number;
  gamma: number;
  gae_lambda: number;
  clip_range: number;
  value_clip_range: number;
  value_coef: number;
  entropy_coef: number;
  with_values: boolean;
}

export interface ResponseTrace {
  run: string;
  step: number;
  sample: number;
  samples: number;
  prompt: string;
  tokens: string[];
  columns: Record<string, (number | null)[] | null>;
  stopped: boolean[] | null;
  clipped: boolean[] | null;
  mean: number | null;
  deviation: number | null;
  earned: number;
  standardised: number | null;
  settings: TraceSettings;
}

export interface TracedQuantity {
  file: string;
  line: number;
  source: string;
  function: string;
  sources: ([string, number])[];
}

export interface ShownFrontier {
  frontier?: FrontierState;
  progress?: Progress;
  error?: string;
}

export interface FrontierState {
  base: string;
  prompts: number;
  seeds: number;
  arms: Arm[];
  judges: JudgeView[];
  costs: CostRow[];
}

export interface Arm {
  arm: string;
  title: string;
}

export interface JudgeView {
  judge: string;
  marks: Mark[];
  levels: Level[];
  notes: string[];
  own: OwnRun[];
}

export interface Mark {
  mean: number;
  low: number;
  high: number;
  arm: string;
  setting: string;
  step: number;
  seeds: number;
  kl: number;
  kl_low: number;
  kl_high: number;
  distinct_2: number | null;
}

export interface OwnRun {
  name: string;
  marks: Mark[];
  sentence: string;
}

export interface CostRow {
  labels?: number;
  generated: number;
  reward_calls: number;
  read: number;
  arm: string;
  title: string;
  seconds?: number;
  answer: string;
}

export interface Progress {
  run: string;
  done: number;
  total: number;
}
